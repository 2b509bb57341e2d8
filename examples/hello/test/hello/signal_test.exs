defmodule Hello.SignalTest do
  use ExUnit.Case, async: true
  import Hello.Vm
  alias Hello.Client

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
end
