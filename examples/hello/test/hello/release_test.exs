defmodule Hello.ReleaseTest do
  # Not async: the whole application has one state directory.
  use ExUnit.Case
  import ExUnit.CaptureIO
  alias Hello.Release

  @moduletag :tmp_dir

  setup %{tmp_dir: tmp_dir} do
    Application.put_env(:hello, :state_directory, tmp_dir)

    on_exit(fn ->
      Application.delete_env(:hello, :state_directory)
      Application.delete_env(:hello, :fault)
    end)

    %{book: Path.join(tmp_dir, "hello.state")}
  end

  test "migrations are applied in order, told of, and applied only once", %{book: file} do
    assert [{1, _, :pending}, {2, _, :pending}] = Release.migrations()
    assert capture_io(&Release.migrate/0) =~ ~r/\Aapplied 0001_\w+.exs\napplied 0002_\w+.exs\n\z/
    assert [{1, _, :applied}, {2, _, :applied}] = Release.migrations()
    assert {:ok, [{[1, 2], %{guests: ["world"]}}]} = :file.consult(file)

    before = File.read!(file)
    assert capture_io(&Release.migrate/0) == "nothing to migrate\n"
    assert File.read!(file) == before
  end

  test "only what is new is applied to a state of an older release", %{book: file} do
    File.write!(file, "{[1], \#{guests => [<<\"moon\">>]}}.\n")
    assert capture_io(&Release.migrate/0) =~ ~r/\Aapplied 0002_\w+.exs\n\z/
    assert {:ok, [{[1, 2], %{guests: ["world", "moon"]}}]} = :file.consult(file)
  end

  test "a migration that raises leaves the state as it was", %{book: file} do
    File.write!(file, "{[1], \#{}}.\n")
    assert_raise KeyError, &Release.migrate/0
    assert File.read!(file) == "{[1], \#{}}.\n"
  end

  test "a state that makes no sense is not overwritten", %{book: file} do
    File.write!(file, "{[1,")
    assert_raise RuntimeError, ~r/cannot read .*hello.state/, &Release.migrate/0
    assert File.read!(file) == "{[1,"
  end

  test "a drill makes migrations fail though there is nothing to migrate" do
    capture_io(&Release.migrate/0)
    Application.put_env(:hello, :fault, "migrate-fails")
    assert_raise RuntimeError, ~r/on purpose/, &Release.migrate/0
  end
end
