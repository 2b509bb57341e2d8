defmodule Hello.VmTest do
  @moduledoc "The application in a VM of its own: how it starts with its faults, and how it ends on a signal."
  use ExUnit.Case, async: true
  alias Hello.Client

  # Starts a VM as a release does: with the application permanent, so that its end is the VM's.
  defp boot(settings, port \\ free_port()) do
    settings = [port: port] ++ settings

    script = """
    Application.load(:hello)
    for {key, value} <- #{inspect(settings)}, do: Application.put_env(:hello, key, value)
    case Application.ensure_all_started(:hello, :permanent) do
      {:ok, _} -> IO.puts("started")
      {:error, reason} -> IO.inspect(reason); System.halt(1)
    end
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

  defp output(vm, until, found \\ "") do
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

  defp ending(vm, found \\ "") do
    receive do
      {^vm, {:data, bytes}} -> ending(vm, found <> bytes)
      {^vm, {:exit_status, status}} -> {status, found}
    after
      10_000 -> flunk("still there: #{found}")
    end
  end

  defp terminate(vm) do
    {:os_pid, pid} = Port.info(vm, :os_pid)
    {_, 0} = System.cmd("kill", ["-TERM", to_string(pid)])
  end

  test "SIGTERM lets a running request finish and ends the VM with 0" do
    {vm, port} = boot([])
    output(vm, "started")
    socket = Client.connect(port)
    asked = Task.async(fn -> Client.ask(socket, "GET /slow?ms=600") end)
    Process.sleep(100)
    terminate(vm)
    assert %{status: 200, headers: %{"connection" => "close"}} = Task.await(asked)
    :gen_tcp.close(socket)
    assert {0, _} = ending(vm)
  end

  test "crash-at-boot: it does not start" do
    {vm, _} = boot(fault: "crash-at-boot")
    assert {1, output} = ending(vm)
    assert output =~ "on purpose"
  end

  test "crash-after-2s: it serves, and then takes the VM down" do
    {vm, port} = boot(fault: "crash-after-2s")
    output(vm, "started")
    assert %{status: 200} = Client.ask(Client.connect(port), "GET /health")
    assert {1, _} = ending(vm)
  end

  test "hang: it starts and does not listen" do
    {vm, port} = boot(fault: "hang")
    output(vm, "started")
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
    terminate(vm)
    assert {0, _} = ending(vm)
  end

  test "unhealthy: /health answers 500, the rest is well" do
    {vm, port} = boot(fault: "unhealthy")
    output(vm, "started")
    socket = Client.connect(port)
    assert %{status: 500} = Client.ask(socket, "GET /health")
    assert %{status: 200} = Client.ask(socket, "GET /")
    :gen_tcp.close(socket)
    terminate(vm)
    assert {0, _} = ending(vm)
  end

  test "a fault that there is not is an error that lists those there are" do
    {vm, _} = boot(fault: "crush")
    assert {1, output} = ending(vm)
    assert output =~ ~s(there is no fault \\"crush\\") or output =~ ~s(there is no fault "crush")
    assert output =~ "migrate-fails"
  end
end
