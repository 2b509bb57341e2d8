"""The policy of a rollout: the rules by which it goes from host to host."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from warpbeam.deploy.batch import check_batch
from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory


class Policy(msgspec.Struct, frozen=True):
    """The rules by which a rollout goes from host to host.

    `batch` says how many hosts change at once (see `warpbeam.deploy.batch`). `pause` is the seconds between two
    batches, after which a changed host that is no longer healthy is rolled back. `on_failure` says whether the other
    changed hosts stay (`stop`) or go back too (`rollback`).
    """

    batch: str
    pause: float = 0
    on_failure: Literal["stop", "rollback"] = "stop"


def policy_of(inventory: Inventory, *, batch: str = "", pause: str = "", on_failure: str = "") -> Policy:
    """Return the policy that the command line asks for, else the inventory. Raises: Misuse, where a word is wrong."""
    plan = inventory.deploy
    if pause and not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", pause):
        raise Misuse(f"--pause: {pause!r} is no number of seconds")
    if on_failure not in ("", "stop", "rollback"):
        raise Misuse(f"--on-failure: expected stop or rollback, found {on_failure!r}")
    return Policy(
        batch=check_batch(batch, "--batch") if batch else plan.batch,
        pause=float(pause) if pause else plan.pause,
        on_failure="rollback" if (on_failure or plan.on_failure) == "rollback" else "stop",
    )
