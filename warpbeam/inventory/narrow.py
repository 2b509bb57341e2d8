"""Narrowing: an environment restricted to the hosts that -H names."""

from __future__ import annotations

from pathlib import Path

import msgspec

from warpbeam.error import Misuse
from warpbeam.inventory.decode import nearest
from warpbeam.inventory.files import seen
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.tree import quoted


def narrow(inventory: Inventory, only: frozenset[str], file: Path) -> Inventory:
    """Return `inventory` with the hosts that `only` names, in their order; with all of them where it names none.

    Parameters:
        file: the environment's file as it was named, for the message.

    Raises:
        Misuse: `only` names a host that the inventory does not have.
    """
    for name in sorted(only - inventory.all_hosts.keys()):
        known = "its hosts are " + ", ".join(inventory.all_hosts)
        raise Misuse(f"{seen(file)}: there is no host {quoted(name)}" + nearest(name, inventory.all_hosts), known)
    chosen = {name: host for name, host in inventory.all_hosts.items() if not only or name in only}
    return msgspec.structs.replace(inventory, hosts=chosen)
