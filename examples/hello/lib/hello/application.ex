defmodule Hello.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    Hello.Fault.at_boot!()
    Supervisor.start_link(cluster() ++ server() ++ Hello.Fault.children(), strategy: :one_for_one, name: Hello.Supervisor)
  end

  defp cluster do
    case Application.get_env(:hello, :peers, []) do
      [] -> []
      peers -> [{Hello.Cluster, peers}]
    end
  end

  defp server do
    port = if Application.get_env(:hello, :server, true), do: Hello.Fault.port(Application.fetch_env!(:hello, :port))
    if port, do: [{Hello.Server, Keyword.put(settings(), :port, port)} | more()], else: []
  end

  defp more do
    case Application.get_env(:hello, :more_port) do
      nil ->
        []

      port ->
        options = Keyword.merge(settings(), port: port, name: Hello.MoreServer)
        [Supervisor.child_spec({Hello.Server, options}, id: Hello.MoreServer)]
    end
  end

  defp settings do
    [
      drain_file: Application.get_env(:hello, :drain_file),
      stop_ms: 1_000 * Application.get_env(:hello, :drain_seconds, 10)
    ]
  end
end
