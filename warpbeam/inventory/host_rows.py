"""The hosts of an environment as rows, each with the place that names it."""

from __future__ import annotations

from typing import Any

from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.tree import Node, find


def host_rows(inventory: Inventory, tree: Node) -> list[dict[str, Any]]:
    """Return a row for each host of `inventory`, as it was decoded from `tree`: its values, and where it is from.

    It is from where its address was written, or else its name.
    """
    rows = []
    for name, host in inventory.hosts.items():
        node = find(tree, ("hosts", name, "address")) or find(tree, ("hosts", name))
        rows.append(
            {
                "host": name,
                "address": host.address,
                "port": host.port,
                "roles": list(host.roles),
                "group": host.group,
                "from": str(node.origin) if node is not None else "",
            }
        )
    return rows
