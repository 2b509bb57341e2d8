defmodule Hello.Cluster do
  @moduledoc """
  Connects this node to the nodes in slot a and slot b at each address of a peer, whichever run.

  It tries the missing nodes once a second: where no node runs, the connection is refused at once. An app that uses
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
    # Each in a process of its own: a host that does not answer must not delay the others.
    for name <- names -- Node.list(), do: spawn(fn -> Node.connect(name) end)
    Process.send_after(self(), :connect, @every_ms)
    names
  end
end
