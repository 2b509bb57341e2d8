defmodule HelloTest do
  use ExUnit.Case, async: true
  doctest Hello

  test "the version is the one of the VERSION file" do
    assert Hello.version() == String.trim(File.read!("VERSION"))
  end
end
