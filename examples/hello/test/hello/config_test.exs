defmodule Hello.ConfigTest do
  # Not async: the whole VM has one environment.
  use ExUnit.Case

  @names ~w(PORT DRAIN_SECONDS RUNTIME_DIRECTORY STATE_DIRECTORY HELLO_FAULT)

  setup do
    before = Map.take(System.get_env(), @names)

    on_exit(fn ->
      Enum.each(@names, &System.delete_env/1)
      System.put_env(before)
    end)

    Enum.each(@names, &System.delete_env/1)
  end

  defp read(env) do
    System.put_env(env)
    Config.Reader.read!("config/runtime.exs", env: :prod)[:hello]
  end

  test "without an environment there are defaults" do
    assert Enum.sort(read(%{})) ==
             [drain_seconds: 10, peers: [], port: 4000, state_directory: "/var/lib/hello"]
  end

  test "the environment is heeded" do
    assert read(%{
             "PORT" => "80",
             "DRAIN_SECONDS" => "0",
             "RUNTIME_DIRECTORY" => "/run/x",
             "STATE_DIRECTORY" => "/s",
             "HELLO_FAULT" => "hang"
           })
           |> Enum.sort() ==
             [drain_file: "/run/x/drain", drain_seconds: 0, fault: "hang", peers: [], port: 80, state_directory: "/s"]
  end

  test "a port that is none is an error that says what was expected" do
    for port <- ["", "http", "0", "65536", "-1", "80 "] do
      assert_raise RuntimeError, "PORT is #{inspect(port)}; expected a port number from 1 to 65535", fn ->
        read(%{"PORT" => port})
      end
    end
  end
end
