"""Batches of a rollout: `1,25%` changes one host first, then a quarter of the hosts at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from warpbeam.error import Misuse

T = TypeVar("T")

# The spelling that `warpbeam.inventory.names.Batch` takes in the inventory.
SPELLING = r"([1-9][0-9]{0,2}|([1-9][0-9]?|100)%)(,([1-9][0-9]{0,2}|([1-9][0-9]?|100)%))*"


def check_batch(text: str, where: str) -> str:
    """Return `text` when it is a batch size. Raises: Misuse, which names `where` the user wrote it."""
    if not re.fullmatch(SPELLING, text):
        raise Misuse(f"{where}: {text!r} is no batch size", "expected such as 1, 3, 25% or 1,25%: the last one repeats")
    return text


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
