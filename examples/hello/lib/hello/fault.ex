defmodule Hello.Fault do
  @moduledoc """
  Ways for this app to be bad on purpose, so that one can watch a deploy fail (for drills, never in earnest).

  A fault comes from the variable `HELLO_FAULT` where the app runs or, so that a *release* can be bad wherever it
  goes, from the file `config/fault` where it was built. The variable wins; empty, it means none.

    * `crash-at-boot`: the application does not start
    * `crash-after-2s`: it starts and listens, and dies two seconds later
    * `hang`: it starts but never listens
    * `slow-boot`: it starts and listens only after five seconds
    * `endless-boot`: its start never ends, and until then the VM heeds no SIGTERM
    * `wrong-port`: it listens a thousand ports above PORT
    * `unhealthy`: `/health` answers 500
    * `migrate-fails`: `Hello.Release.migrate/0` raises
  """

  @names ~w(crash-at-boot crash-after-2s hang slow-boot endless-boot wrong-port unhealthy migrate-fails)

  @doc "The fault in force, or nil. Raises on a name that is none."
  @spec active() :: String.t() | nil
  def active do
    case Application.get_env(:hello, :fault) do
      none when none in [nil, ""] ->
        nil

      name when name in @names ->
        name

      other ->
        raise "there is no fault #{inspect(other)} (HELLO_FAULT or config/fault); there are #{Enum.join(@names, ", ")}"
    end
  end

  @doc "Holds up or ends the start of the application, if the fault is one of those."
  @spec at_boot!() :: :ok
  def at_boot! do
    case active() do
      "crash-at-boot" -> raise "crash-at-boot: this release does not start, on purpose"
      "slow-boot" -> Process.sleep(5_000)
      "endless-boot" -> Process.sleep(:infinity)
      _ -> :ok
    end
  end

  @doc "The port to listen on instead of `port`, or nil for not listening at all."
  @spec port(:inet.port_number()) :: :inet.port_number() | nil
  def port(port) do
    case active() do
      "hang" -> nil
      "wrong-port" -> if port > 64_535, do: port - 1_000, else: port + 1_000
      _ -> port
    end
  end

  @doc "Children for the application's supervisor: what will bring it down."
  @spec children() :: [Supervisor.child_spec()]
  def children do
    if active() == "crash-after-2s", do: [{Task, &crash/0}], else: []
  end

  defp crash do
    Process.sleep(2_000)
    # The application is permanent in a release: without its supervisor the whole VM ends.
    Process.exit(Process.whereis(Hello.Supervisor), :kill)
  end
end
