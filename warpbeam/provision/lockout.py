"""Refuse a setup whose tables would lock us out: they redirect or close ports, and ssh may come to one of these.

A filter comes on trial and reverts by itself (`warpbeam.network.firewall`); the redirect and the nodes' table do not.
An inventory's own ssh ports are compared when it is read. But the port may stand in ssh's configuration only, and
behind another host, only the host itself knows its port.
"""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.error import Refused
from warpbeam.inventory.schema import SLOTS, Inventory
from warpbeam.provision.host_state import HostState


def taken_ports(inventory: Inventory) -> tuple[int, ...]:
    """Return every port of a host that the app's tables redirect or close to the outside."""
    nodes = (inventory.dist_port(slot) for slot in SLOTS)
    return (*inventory.leads("a"), *inventory.slot_ports(), *inventory.page_ports(), *nodes)


def check_lockout(inventory: Inventory, found: Mapping[str, HostState]) -> None:
    """Check that ssh to every examined app host of `inventory` comes to a port that is none of the app's.

    Raises:
        Refused: ssh to a host comes to one of the app's ports.
    """
    apps = {host.name: host for host in inventory.app_hosts}
    for name, facts in found.items():
        if name in apps and facts.ssh in taken_ports(inventory.of(apps[name])):
            raise Refused(
                f"ssh comes to port {facts.ssh} of this host, which is one of the app's",
                "the firewall would lock you out: choose another port under `http` or `ports` in the inventory",
                host=name,
                nothing_changed=True,
            )
