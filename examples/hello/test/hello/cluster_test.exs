defmodule Hello.ClusterTest do
  use ExUnit.Case, async: true

  test "the nodes of an address are those in both slots, without one's own" do
    assert Hello.Cluster.names(["10.0.0.1", "10.0.0.2"], :"hello-b@10.0.0.1") ==
             [:"hello-a@10.0.0.1", :"hello-a@10.0.0.2", :"hello-b@10.0.0.2"]
  end
end
