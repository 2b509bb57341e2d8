"""The cluster that an environment's nodes make: who lets whom in, and who is connected with whom. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from warpbeam.host.answer import MANY, Label, LiveSlot
from warpbeam.inventory.schema import SLOTS, Host, Inventory
from warpbeam.provision import unit


class Link(msgspec.Struct, frozen=True):
    """A connection of a node, as `warpbeam/network/links.sh` tells it: its slot (empty: not known) and both ends."""

    slot: LiveSlot
    here: Label
    there: Label


Links = Annotated[tuple[Link, ...], MANY]


def node_ports(inventory: Inventory) -> tuple[int, ...]:
    """The ports of the environment's nodes; none where they have no peers."""
    return tuple(inventory.dist_port(slot) for slot in SLOTS) if inventory.vm.peers else ()


def mates(inventory: Inventory, host: Host) -> tuple[Host, ...]:
    """The other app hosts whose nodes and those of `host` may connect, by whichever side calls."""
    if not inventory.vm.peers:
        return ()
    peers = [ipaddress.IPv4Network(each) for each in unit.peers(inventory)]

    def is_peer(each: Host) -> bool:
        address = ipaddress.IPv4Address(unit.node_address(inventory, each))
        return any(address in peer for peer in peers)

    return tuple(
        other
        for other in inventory.all_app_hosts
        if other.name != host.name and (is_peer(host) or is_peer(other)) and host.address and other.address
    )


def sees(live: str, links: Sequence[Link], other: Host, other_live: str, other_links: Sequence[Link] | None) -> bool:
    """Whether a live node is connected with the live node of another host: both ends must say so.

    Parameters:
        other_links: None where that host was not asked; any connection with its address counts then.
    """
    mine = [link for link in links if link.slot in (live, "")]
    if other_links is None:
        return any(link.there.rpartition(":")[0] == other.address for link in mine)
    theirs = {(link.there, link.here) for link in other_links if link.slot in (other_live, "")}
    return any((link.here, link.there) in theirs for link in mine)


def seen_hosts(inventory: Inventory, host: Host, told: Mapping[str, tuple[str, Sequence[Link]]]) -> dict[str, bool]:
    """Of each other host, whether the live node of `host` sees its live node; only those where one is live.

    Parameters:
        told: the live slot of each host that was asked and runs a node, and its connections. Nothing is said of
            those that were asked in vain.
    """
    live, links = told[host.name]
    found: dict[str, bool] = {}
    for other in mates(inventory, host):
        if other.name in told:
            found[other.name] = sees(live, links, other, *told[other.name])
        elif other.name not in inventory.hosts:
            found[other.name] = sees(live, links, other, "", None)
    return found
