defmodule Hello.Server do
  @moduledoc """
  The HTTP server: a listening socket, an acceptor, one process for each connection, and the stop of all these.

  A stop ends the children in the reverse order: the acceptor takes the connections that the kernel has already accepted
  and ends, the listening socket closes, `Hello.Drain` waits until running requests have ended (at most `stop_ms`), and
  the supervisor cuts the connections that are left.

  Options, all times in milliseconds:

    * `:port` - 0 for any free port
    * `:name` - the name of this server; the names of its children derive from it
    * `:drain_file` - while it exists, every response says `Connection: close`
    * `:stop_ms` - how long a stop waits for running requests
    * `:linger_ms` - how long a connection must have been idle to be closed while the server drains or stops
    * `:idle_ms` - the same at any other time
    * `:head_ms`, `:body_ms` - how long a client may take to send a request's head, and its body
    * `:max_connections` - beyond this number, a connection is answered 503
  """
  use Supervisor

  @enforce_keys [:name, :connections, :listener, :flags]
  defstruct @enforce_keys ++
              [
                port: 4_000,
                drain_file: nil,
                stop_ms: 10_000,
                linger_ms: 2_500,
                idle_ms: 60_000,
                head_ms: 10_000,
                body_ms: 30_000,
                max_connections: 16_384
              ]

  @type t :: %__MODULE__{}

  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(options) do
    name = Keyword.get(options, :name, __MODULE__)

    server =
      struct!(
        __MODULE__,
        Keyword.merge(options,
          name: name,
          connections: Module.concat(name, Connections),
          listener: Module.concat(name, Listener),
          flags: Hello.Drain.flags()
        )
      )

    Supervisor.start_link(__MODULE__, server, name: name)
  end

  @doc "The port that a server listens on."
  @spec port(atom()) :: :inet.port_number()
  def port(name \\ __MODULE__), do: Hello.Listener.port(Module.concat(name, Listener))

  @impl true
  def init(server) do
    Supervisor.init(
      [
        {Task.Supervisor, name: server.connections, max_children: server.max_connections},
        {Hello.Drain, server},
        {Hello.Listener, server},
        {Hello.Acceptor, server}
      ],
      strategy: :rest_for_one
    )
  end
end
