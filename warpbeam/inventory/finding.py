"""A conflict in an inventory as a rule finds it: by keys, some of which may not be written."""

from __future__ import annotations

from typing import NamedTuple

from warpbeam.inventory.tree import Key


class Finding(NamedTuple):
    """A conflict before its keys are found in the tree: some of them may not be written."""

    message: str
    hint: str
    keys: tuple[Key, ...]


def finding(message: str, hint: str, *keys: Key) -> Finding:
    """Return the conflict between the values of `keys`, the likeliest cause first."""
    return Finding(message, hint, keys)
