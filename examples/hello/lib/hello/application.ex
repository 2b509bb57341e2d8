defmodule Hello.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    Hello.Fault.at_boot!()
    Supervisor.start_link(server() ++ Hello.Fault.children(), strategy: :one_for_one, name: Hello.Supervisor)
  end

  defp server do
    case Hello.Fault.port(Application.fetch_env!(:hello, :port)) do
      nil -> []
      port -> [{Hello.Server, Keyword.put(settings(), :port, port)}]
    end
  end

  defp settings do
    [
      drain_file: Application.get_env(:hello, :drain_file),
      stop_ms: 1_000 * Application.get_env(:hello, :drain_seconds, 10)
    ]
  end
end
