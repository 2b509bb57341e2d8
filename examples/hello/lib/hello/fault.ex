defmodule Hello.Fault do
  @moduledoc """
  Faults of this app that are made on purpose, for drills: they let a deploy fail. Never use them in production.

  A fault comes from the variable `HELLO_FAULT` where the app runs, or from the file `config/fault` where it is built:
  then the *release* is faulty on every host. The variable wins; empty, it means no fault.

    * `crash-at-boot`: the application does not start
    * `crash-after-2s`: it starts and listens, and dies two seconds later
    * `hang`: it starts but never listens
    * `slow-boot`: it starts and listens only after five seconds
    * `endless-boot`: its start never ends, and the VM ignores SIGTERM during the start
    * `wrong-port`: it listens a thousand ports above PORT
    * `unhealthy`: `/health` answers 500
    * `migrate-fails`: `Hello.Release.migrate/0` raises
  """

  @names ~w(crash-at-boot crash-after-2s hang slow-boot endless-boot wrong-port unhealthy migrate-fails)

  @doc "The fault in force, or nil. Raises for an unknown name."
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

  @doc "Delays or ends the start of the application, where the fault says so."
  @spec at_boot!() :: :ok
  def at_boot! do
    case active() do
      "crash-at-boot" -> raise "crash-at-boot: this release does not start, on purpose"
      "slow-boot" -> Process.sleep(5_000)
      "endless-boot" -> Process.sleep(:infinity)
      _ -> :ok
    end
  end

  @doc "The port to listen on instead of `port`, or nil to not listen at all."
  @spec port(:inet.port_number()) :: :inet.port_number() | nil
  def port(port) do
    case active() do
      "hang" -> nil
      "wrong-port" -> if port > 64_535, do: port - 1_000, else: port + 1_000
      _ -> port
    end
  end

  @doc "Children for the application's supervisor that will crash the application."
  @spec children() :: [Supervisor.child_spec()]
  def children do
    if active() == "crash-after-2s", do: [{Task, &crash/0}], else: []
  end

  defp crash do
    Process.sleep(2_000)
    # The application is permanent in a release: when its supervisor ends, the whole VM ends.
    Process.exit(Process.whereis(Hello.Supervisor), :kill)
  end
end
