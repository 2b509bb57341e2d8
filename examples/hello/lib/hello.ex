defmodule Hello do
  @moduledoc """
  A small web service that says which of its releases is answering.

  It exists to be deployed: it listens on `PORT`, answers over HTTP/1.1, closes its connections when it must drain, and
  finishes running requests before it stops.
  """

  @doc "The version of the running code, which is not always that of the code on the disk."
  @spec version() :: String.t()
  def version, do: to_string(Application.spec(:hello, :vsn))

  @doc """
  Describes the instance that answers, with its keys in a fixed order.

  `release` is the release's directory with every symbolic link resolved (by the release's start script, when it sets
  RELEASE_ROOT). `release` and `slot` are nil outside of a release.
  """
  @spec describe() :: [{atom(), String.t() | integer() | nil}]
  def describe do
    [
      app: "hello",
      version: version(),
      release: System.get_env("RELEASE_ROOT"),
      slot: slot(System.get_env("SLOT"), System.get_env("RELEASE_NODE")),
      node: to_string(node()),
      pid: String.to_integer(System.pid())
    ]
  end

  @doc """
  The slot that SLOT names or, without SLOT, the last part of a node name such as `hello-b@127.0.0.1`.

      iex> Hello.slot("a", nil)
      "a"
      iex> Hello.slot(nil, "hello-b@127.0.0.1")
      "b"
      iex> Hello.slot(nil, "hello@127.0.0.1")
      nil
  """
  @spec slot(String.t() | nil, String.t() | nil) :: String.t() | nil
  def slot(slot, _node) when slot in ["a", "b"], do: slot
  def slot(_, nil), do: nil

  def slot(_, node) do
    case Regex.run(~r/-([ab])(@|$)/, node) do
      [_, slot | _] -> slot
      nil -> nil
    end
  end
end
