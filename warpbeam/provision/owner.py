"""Check which environment owns a host: two that put the same app on one host would overwrite each other.

Setup writes the environment's name beside the privileged helper. A rollout that claims the host compares it
(`warpbeam/deploy/claim.sh`), and so does the next setup.
"""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.error import Refused
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.host_state import HostState


def check_belonging(inventory: Inventory, found: Mapping[str, HostState]) -> None:
    """Check that every examined host of `inventory` belongs to this environment or to none.

    Raises:
        Refused: a host belongs to another environment.
    """
    for name, facts in found.items():
        if name in inventory.hosts and facts.belongs not in ("", inventory.name):
            raise Refused(
                f"{inventory.app} on this host belongs to the environment {facts.belongs!r}, not to {inventory.name!r}",
                f"two environments need hosts, or an `app`, of their own; to take it over: "
                f"`fab {inventory.name} -H {name} setup --take-over`",
                host=name,
                nothing_changed=True,
            )
