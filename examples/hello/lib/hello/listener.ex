defmodule Hello.Listener do
  @moduledoc "Owns the listening socket, which takes IPv4 and IPv6 on every address, or only the address in LISTEN."
  use GenServer
  require Logger

  @options [
    :binary,
    packet: :raw,
    active: false,
    # The kernel takes the smaller one of this and net.core.somaxconn (listen(2)).
    backlog: 1_024,
    # A new instance can listen while connections of the previous one are in TIME_WAIT.
    reuseaddr: true,
    nodelay: true,
    # A client that stops reading must not hold a process for ever.
    send_timeout: 10_000,
    send_timeout_close: true
  ]

  @spec start_link(Hello.Server.t()) :: GenServer.on_start()
  def start_link(server), do: GenServer.start_link(__MODULE__, server, name: server.listener)

  @spec socket(GenServer.server()) :: :gen_tcp.socket()
  def socket(listener), do: GenServer.call(listener, :socket)

  @spec port(GenServer.server()) :: :inet.port_number()
  def port(listener) do
    {:ok, port} = :inet.port(socket(listener))
    port
  end

  @impl true
  def init(server) do
    case listen(server.port) do
      {:ok, socket} ->
        {:ok, port} = :inet.port(socket)
        Logger.info("hello #{Hello.version()} listens on port #{port}")
        {:ok, socket}

      {:error, reason} ->
        {:stop, "cannot listen on port #{server.port}: #{:inet.format_error(reason)}"}
    end
  end

  @impl true
  def handle_call(:socket, _from, socket), do: {:reply, socket, socket}

  # One socket serves both families, whatever net.ipv6.bindv6only is (ipv6(7)); without IPv6 in the kernel, IPv4 only.
  defp listen(port) do
    case Application.get_env(:hello, :listen) do
      nil ->
        case :gen_tcp.listen(port, [:inet6, {:ipv6_v6only, false} | @options]) do
          {:error, :eafnosupport} -> :gen_tcp.listen(port, [:inet | @options])
          other -> other
        end

      address when tuple_size(address) == 4 ->
        :gen_tcp.listen(port, [:inet, {:ip, address} | @options])

      address ->
        :gen_tcp.listen(port, [:inet6, {:ip, address}, {:ipv6_v6only, true} | @options])
    end
  end
end
