defmodule Hello.Vm do
  @moduledoc "The application in a VM of its own, for tests of its start and its end."
  import ExUnit.Assertions

  @doc "Starts a VM as a release does: the application is permanent, so the VM ends with it."
  def boot(settings) do
    port = free_port()
    settings = [port: port] ++ settings

    script = """
    Application.load(:hello)
    for {key, value} <- #{inspect(settings)}, do: Application.put_env(:hello, key, value)
    case Application.ensure_all_started(:hello, :permanent) do
      {:ok, _} -> IO.puts("started")
      {:error, reason} -> IO.inspect(reason); System.halt(1)
    end
    # Its standard input ends with the test, however that ends.
    spawn(fn -> if IO.read(:stdio, :line) == :eof, do: System.halt(9) end)
    """

    vm =
      Port.open({:spawn_executable, System.find_executable("elixir")}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        args: ["--no-halt", "-pa", Application.app_dir(:hello, "ebin"), "-e", script],
        env: [{~c"ERL_CRASH_DUMP_SECONDS", ~c"0"}]
      ])

    {vm, port}
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, [:inet6])
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  @doc "The output of the VM, as soon as it contains `until`."
  def output(vm, until, found \\ "") do
    if found =~ until do
      found
    else
      receive do
        {^vm, {:data, bytes}} -> output(vm, until, found <> bytes)
        {^vm, {:exit_status, status}} -> flunk("ended with #{status}: #{found}")
      after
        10_000 -> flunk("no #{inspect(until)} in: #{found}")
      end
    end
  end

  @doc "The VM's exit status, and its output before."
  def ending(vm, found \\ "") do
    receive do
      {^vm, {:data, bytes}} -> ending(vm, found <> bytes)
      {^vm, {:exit_status, status}} -> {status, found}
    after
      10_000 -> flunk("still there: #{found}")
    end
  end

  def terminate(vm) do
    {:os_pid, pid} = Port.info(vm, :os_pid)
    {_, 0} = System.cmd("kill", ["-TERM", to_string(pid)])
  end
end
