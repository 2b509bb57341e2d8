"""Narrowing: an environment restricted to the hosts that -H chooses."""

from __future__ import annotations

from pathlib import Path

import msgspec

from warpbeam.inventory.choice import choose
from warpbeam.inventory.files import seen
from warpbeam.inventory.schema import Inventory


def narrow(inventory: Inventory, only: str | None, file: Path) -> Inventory:
    """Return `inventory` with the hosts that `only` chooses, in their order; with all of them for None.

    Parameters:
        file: the environment's file as it was named, for the message.

    Raises:
        Misuse: `only` names a host that the inventory does not have, or chooses none.
    """
    every = inventory.all_hosts
    if only is None:
        return msgspec.structs.replace(inventory, hosts=every)
    groups = {name: host.group for name, host in every.items()}
    names = choose(only, groups, f"{seen(file)}: -H", declared=inventory.groups)
    return msgspec.structs.replace(inventory, hosts={name: every[name] for name in names})
