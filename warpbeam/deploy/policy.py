"""The policy of a rollout: the rules by which it goes from host to host."""

from __future__ import annotations

from typing import Literal

import msgspec

from warpbeam.inventory.option import overridden
from warpbeam.inventory.schema import Inventory


class Policy(msgspec.Struct, frozen=True):
    """The rules by which a rollout goes from host to host.

    `batch` says how many hosts change at once (see `warpbeam.deploy.batch_sizes`); empty: as the inventory says for
    each group. `pause` is the seconds between two
    batches, after which a changed host that is no longer healthy is rolled back. `on_failure` says whether the other
    changed hosts stay (`stop`) or go back too (`rollback`).
    """

    batch: str = ""
    pause: float = 0
    on_failure: Literal["stop", "rollback"] = "stop"


def policy_of(inventory: Inventory, *, batch: str = "", pause: str = "", on_failure: str = "") -> Policy:
    """Return the policy that the command line asks for, else the inventory. Raises: Misuse, where a word is wrong."""
    return Policy(
        batch=overridden(inventory, "deploy", "batch", batch) if batch else "",
        pause=overridden(inventory, "deploy", "pause", pause),
        on_failure=overridden(inventory, "deploy", "on_failure", on_failure),
    )
