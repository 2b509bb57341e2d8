"""How many hosts change at once in a rollout: `1,25%` is first one host, then a quarter of them at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from warpbeam.error import Misuse

T = TypeVar("T")

# As `warpbeam.inventory.names.Batch` has it for the inventory.
SPELLING = r"([1-9][0-9]{0,2}|([1-9][0-9]?|100)%)(,([1-9][0-9]{0,2}|([1-9][0-9]?|100)%))*"


def check_batch(text: str, where: str) -> str:
    """`text`, when it says how to roll. Raises: Misuse, naming `where` it was said."""
    if not re.fullmatch(SPELLING, text):
        raise Misuse(f"{where}: {text!r} is no batch size", "expected such as 1, 3, 25% or 1,25%: the last one repeats")
    return text


def batches(items: Sequence[T], text: str) -> Iterator[Sequence[T]]:
    """`items` in the batches that `text` asks for; a percentage is of all items, rounded up; the last one repeats."""
    sizes = [_count(size, len(items)) for size in text.split(",")]
    start = 0
    while start < len(items):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield items[start : start + size]
        start += size


def _count(size: str, of: int) -> int:
    return max(1, math.ceil(of * int(size[:-1]) / 100)) if size.endswith("%") else int(size)
