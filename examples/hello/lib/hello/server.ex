defmodule Hello.Server do
  @moduledoc """
  The HTTP server: a listening socket, an acceptor, one process for each connection, and the end of all these.

  The order of the children is the order of a stop, read backwards: the acceptor takes what the kernel has already
  accepted for us and ends, the listening socket closes, `Hello.Drain` waits until the connections have finished what
  runs (at most `stop_ms`), and what is left is cut with its supervisor.

  Options, all times in milliseconds:

    * `:port` - 0 for any free one
    * `:name` - of this server; children take theirs from it
    * `:drain_file` - while it exists, every response says `Connection: close`
    * `:stop_ms` - how long a stop waits for what runs
    * `:linger_ms` - how long a connection must have been idle to be closed when the server wants to be rid of it
    * `:idle_ms` - the same when it does not
    * `:head_ms`, `:body_ms` - how long a client may take to send a request's head, and its body
    * `:max_connections` - beyond these, a connection is answered 503
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
