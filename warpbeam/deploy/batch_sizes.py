"""Batches of a rollout: `1,25%` changes one host first, then a quarter of the hosts at a time; group after group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from warpbeam.deploy.plan import HostPlan
from warpbeam.inventory.schema import Inventory

T = TypeVar("T")


def batches_of(inventory: Inventory, steps: Sequence[HostPlan], text: str) -> list[Sequence[HostPlan]]:
    """Return `steps` in batches, group after group: as `deploy.order` says, then the others as `groups` lists them.

    Hosts without a group come last. Hosts of a group with sizes of their own change apart from the others.

    Parameters:
        text: the sizes for every group; empty: those that the inventory has for each.
    """
    found: list[Sequence[HostPlan]] = []
    for group in dict.fromkeys((*inventory.deploy.order, *inventory.groups, None)):
        members = [(step, text or inventory.of(step.host).deploy.batch) for step in steps if step.host.group == group]
        for sizes in dict.fromkeys(its for _, its in members):
            found += batches([step for step, its in members if its == sizes], sizes)
    return found


def batches(items: Sequence[T], text: str) -> Iterator[Sequence[T]]:
    """Yield `items` in the batches that `text` asks for; percentages are of all items, rounded up; the last repeats."""
    sizes = [_count(size, len(items)) for size in text.split(",")]
    start = 0
    while start < len(items):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield items[start : start + size]
        start += size


def _count(size: str, of: int) -> int:
    return max(1, math.ceil(of * int(size[:-1]) / 100)) if size.endswith("%") else int(size)
