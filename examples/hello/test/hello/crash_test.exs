defmodule Hello.CrashTest do
  use ExUnit.Case, async: true
  import Hello.Vm
  alias Hello.Client

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

  test "a fault that there is not is an error that lists those there are" do
    {vm, _} = boot(fault: "crush")
    assert {1, output} = ending(vm)
    assert output =~ ~s(there is no fault \\"crush\\") or output =~ ~s(there is no fault "crush")
    assert output =~ "migrate-fails"
  end
end
