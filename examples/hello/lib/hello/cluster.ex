defmodule Hello.Cluster do
  @moduledoc """
  Connects this node with those of its peers: of each address the nodes in slot a and slot b, whichever runs.

  A node that is not there refuses the connection at once, so all of them are tried again and again. An app with
  packages has libcluster or DNSCluster for this.
  """
  use GenServer

  @every_ms 1_000

  @spec start_link([String.t()]) :: GenServer.on_start()
  def start_link(addresses), do: GenServer.start_link(__MODULE__, addresses, name: __MODULE__)

  @doc "The names of the nodes at these addresses, in both slots, but for `own`."
  @spec names([String.t()], node()) :: [node()]
  def names(addresses, own) do
    for address <- addresses, slot <- ["a", "b"], name = :"hello-#{slot}@#{address}", name != own, do: name
  end

  @impl true
  def init(addresses), do: {:ok, names(addresses, node()), {:continue, :connect}}

  @impl true
  def handle_continue(:connect, names), do: {:noreply, connect(names)}

  @impl true
  def handle_info(:connect, names), do: {:noreply, connect(names)}

  defp connect(names) do
    # Each for itself: a host that does not answer must not hold up the others.
    for name <- names -- Node.list(), do: spawn(fn -> Node.connect(name) end)
    Process.send_after(self(), :connect, @every_ms)
    names
  end
end
