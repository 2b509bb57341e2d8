defmodule Hello.Acceptor do
  @moduledoc """
  Takes connections from the listening socket and gives each a process.

  It checks a few times a second whether it must stop. Before it stops it takes the connections that the kernel has
  queued: their clients are connected already, and closing the socket would reset them.

  There is one acceptor: accepting takes some tens of microseconds, and a pool would stop one acceptor after the other.
  """
  use Task, restart: :permanent, shutdown: 5_000
  require Logger

  @look_up_ms 100

  @spec start_link(Hello.Server.t()) :: {:ok, pid()}
  def start_link(server), do: Task.start_link(__MODULE__, :run, [server])

  @doc false
  def run(server) do
    # The order to stop is then a message, which waits until a connection has been handed over.
    Process.flag(:trap_exit, true)
    accept(Hello.Listener.socket(server.listener), server, @look_up_ms)
  end

  defp accept(listening, server, patience) do
    case :gen_tcp.accept(listening, patience) do
      {:ok, socket} ->
        hand_over(socket, server)
        accept(listening, server, patience(patience))

      {:error, :timeout} when patience == 0 ->
        :ok

      {:error, :timeout} ->
        accept(listening, server, patience(patience))

      {:error, :closed} ->
        :ok

      {:error, :econnaborted} ->
        accept(listening, server, patience(patience))

      {:error, reason} ->
        # Most likely there are no free file descriptors: other connections will end and free some.
        Logger.error("cannot accept connections: #{:inet.format_error(reason)}")
        Process.sleep(@look_up_ms)
        accept(listening, server, patience(patience))
    end
  end

  # The patience is 0 after the exit signal of the supervisor, the only process that the acceptor is linked to.
  defp patience(patience) do
    receive do
      {:EXIT, from, _} when is_pid(from) -> 0
      {:EXIT, _port, _} -> patience(patience)
    after
      0 -> patience
    end
  end

  defp hand_over(socket, server) do
    case Task.Supervisor.start_child(server.connections, Hello.Connection, :serve, [socket, server],
           shutdown: :brutal_kill
         ) do
      {:ok, pid} ->
        # An error means that the client is gone already; the connection's process notices that itself.
        _ = :gen_tcp.controlling_process(socket, pid)
        send(pid, :yours)

      {:error, :max_children} ->
        _ = :gen_tcp.send(socket, Hello.Response.refusal(503))
        :gen_tcp.close(socket)
    end
  end
end
