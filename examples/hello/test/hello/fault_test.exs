defmodule Hello.FaultTest do
  use ExUnit.Case, async: true
  import Hello.Vm
  alias Hello.Client

  test "hang: it starts and does not listen" do
    {vm, port} = boot(fault: "hang")
    output(vm, "started")
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])
    terminate(vm)
    assert {0, _} = ending(vm)
  end

  test "wrong-port: it listens a thousand ports away" do
    {vm, port} = boot(fault: "wrong-port")
    output(vm, "started")
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, port, [])

    assert %{status: 200} =
             Client.ask(
               Client.connect(if(port > 64_535, do: port - 1_000, else: port + 1_000)),
               "GET /health"
             )
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
end
