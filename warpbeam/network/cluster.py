"""The cluster of an environment's nodes: which nodes may connect, and which are connected. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from warpbeam.host.answer import MANY, Label, LiveSlot
from warpbeam.inventory.schema import SLOTS, Host, Inventory
from warpbeam.provision import unit


class Link(msgspec.Struct, frozen=True):
    """A connection of a node, as `warpbeam/network/links.sh` reports it: its slot (empty: not known) and both ends."""

    slot: LiveSlot
    here: Label
    there: Label


Links = Annotated[tuple[Link, ...], MANY]


def node_ports(inventory: Inventory) -> tuple[int, ...]:
    """Return the ports of the environment's nodes; none where they have no peers."""
    return tuple(inventory.dist_port(slot) for slot in SLOTS) if inventory.vm.peers else ()


def mates(inventory: Inventory, host: Host) -> tuple[Host, ...]:
    """Return the other app hosts whose nodes may connect with those of `host`, from either side."""
    own = inventory.of(host)
    if not own.vm.peers:
        return ()
    peers = [ipaddress.IPv4Network(each) for each in unit.peers(own)]

    def is_peer(each: Host) -> bool:
        address = ipaddress.IPv4Address(unit.node_address(own, each))
        return any(address in peer for peer in peers)

    return tuple(
        other
        for other in inventory.all_app_hosts
        if other.name != host.name
        and inventory.of(other).vm.peers
        and (is_peer(host) or is_peer(other))
        and host.address
        and other.address
    )


def sees(live: str, links: Sequence[Link], other: Host, other_live: str, other_links: Sequence[Link] | None) -> bool:
    """Return whether a live node is connected with the live node of another host: both ends must report it.

    Parameters:
        other_links: None if that host was not asked; then any connection with its address counts.
    """
    mine = [link for link in links if link.slot in (live, "")]
    if other_links is None:
        return any(link.there.rpartition(":")[0] == other.address for link in mine)
    theirs = {(link.there, link.here) for link in other_links if link.slot in (other_live, "")}
    return any((link.here, link.there) in theirs for link in mine)


def seen_hosts(inventory: Inventory, host: Host, answers: Mapping[str, tuple[str, Sequence[Link]]]) -> dict[str, bool]:
    """Return, for each other host with a live node, whether the live node of `host` is connected with it.

    Parameters:
        answers: the live slot and the connections of each host that answered and runs a node. A host that was asked and
            did not answer is left out of the result.
    """
    live, links = answers[host.name]
    found: dict[str, bool] = {}
    for other in mates(inventory, host):
        if other.name in answers:
            found[other.name] = sees(live, links, other, *answers[other.name])
        elif other.name not in inventory.hosts:
            found[other.name] = sees(live, links, other, "", None)
    return found
