defmodule Hello.Drain do
  @moduledoc """
  Knows whether connections must end, and waits for their end when the server stops.

  Connections must end in two cases: the drain file exists (a deploy has moved the traffic to another instance and
  waits for the end of this instance's connections), or the server is stopping. Then each response says
  `Connection: close`, so no client loses a request. A connection on which no response is due can only be closed. A
  request that its client sends at that very moment fails; nothing in HTTP/1.1 prevents this (RFC 9112, section 9.5).
  So only connections that have been idle for `linger_ms` are closed: a client that has been silent for seconds is
  unlikely to send a request at that moment, and a busy client sends one before, whose response says
  `Connection: close`.

  One process looks for the file; connections read a flag, which costs no system call.
  """
  use GenServer
  require Logger

  @look_ms 150
  @draining 1
  @stopping 2

  @opaque flags :: :atomics.atomics_ref()

  @spec flags() :: flags()
  def flags, do: :atomics.new(2, signed: false)

  @doc "Whether connections must end as soon as no request is lost by it."
  @spec closing?(flags()) :: boolean()
  def closing?(flags), do: :atomics.get(flags, @draining) + :atomics.get(flags, @stopping) > 0

  @spec child_spec(Hello.Server.t()) :: Supervisor.child_spec()
  def child_spec(server) do
    %{
      id: __MODULE__,
      start: {GenServer, :start_link, [__MODULE__, server]},
      shutdown: server.stop_ms + 1_000
    }
  end

  @impl true
  def init(server) do
    Process.flag(:trap_exit, true)
    if server.drain_file, do: look(server)
    {:ok, server}
  end

  @impl true
  def handle_info(:look, server) do
    look(server)
    {:noreply, server}
  end

  @impl true
  def terminate(_reason, server) do
    :atomics.put(server.flags, @stopping, 1)
    running = announce(server)
    if running != [], do: Logger.info("stopping: #{length(running)} connections are open")
    left = await(Enum.map(running, &Process.monitor/1), now() + server.stop_ms)
    if left > 0, do: Logger.warning("stopping: #{left} connections are cut after #{server.stop_ms} ms")
  end

  defp look(server) do
    was = :atomics.get(server.flags, @draining)
    # Raw: this asks the kernel directly, not through the VM's one file server.
    is = if File.exists?(server.drain_file, [:raw]), do: 1, else: 0

    if is != was do
      Logger.info(if is == 1, do: "draining: #{server.drain_file} exists", else: "no longer draining")
      :atomics.put(server.flags, @draining, is)
      announce(server)
    end

    Process.send_after(self(), :look, @look_ms)
  end

  defp announce(server) do
    running = Task.Supervisor.children(server.connections)
    Enum.each(running, &send(&1, :closing))
    running
  end

  defp await([], _deadline), do: 0

  defp await([monitor | others] = monitors, deadline) do
    receive do
      {:DOWN, ^monitor, :process, _, _} -> await(others, deadline)
    after
      max(0, deadline - now()) -> length(monitors)
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
