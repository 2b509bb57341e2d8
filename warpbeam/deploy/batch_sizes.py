"""Batches of a rollout: `1,25%` changes one host first, then a quarter of the hosts at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


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
