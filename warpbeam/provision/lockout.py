"""Whether the app's own tables would lock out whoever sets a host up: they take the ports that they lead or close.

A filter comes on trial and reverts by itself (`warpbeam.network.firewall`); the redirect and the nodes' table do not.
What an inventory says of ssh is compared when it is read; the port may stand in ssh's own configuration only, though,
and a host behind another has one that only the host knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.error import Refused
from warpbeam.inventory.schema import SLOTS, Inventory
from warpbeam.provision.difference import HostState


def taken_ports(inventory: Inventory) -> tuple[int, ...]:
    """Every port of a host that the app's tables lead elsewhere or close to the outside."""
    nodes = (inventory.dist_port(slot) for slot in SLOTS)
    return (*inventory.leads("a"), *inventory.slot_ports(), inventory.http.maintenance, *nodes)


def check_lockout(inventory: Inventory, found: Mapping[str, HostState]) -> None:
    """Whether ssh to every host of `inventory` that was looked at comes to a port that is none of the app's.

    Raises:
        Refused: it does not.
    """
    taken = taken_ports(inventory)
    apps = {host.name for host in inventory.app_hosts}
    for name, facts in found.items():
        if name in apps and facts.ssh in taken:
            raise Refused(
                f"ssh comes to port {facts.ssh} of this host, which is one of the app's; "
                "nothing was changed on any host",
                "the firewall would lock you out: choose another port under `http` or `ports` in the inventory",
                host=name,
            )
