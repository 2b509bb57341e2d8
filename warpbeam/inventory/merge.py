"""Merging: several trees become one, in which each node keeps its origin."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from warpbeam.inventory.tree import Key, Mapping, Node


def merge(trees: Iterable[Node]) -> Node:
    """Return one tree of at least one: mappings are merged key by key, and otherwise a later value replaces an earlier.

    So a list replaces a list, and `key:` with nothing after it returns a whole part to its defaults. A secret replaces
    a secret, because two sources of one value make none. Keys stay in the order in which they first appear.
    """
    return reduce(_merged, trees)


def _merged(earlier: Node, later: Node, key: Key = ()) -> Node:
    if not (isinstance(earlier, Mapping) and isinstance(later, Mapping)) or key[-2:-1] == ("secrets",):
        return later
    entries = dict(earlier.entries)
    for name, node in later.entries.items():
        entries[name] = _merged(entries[name], node, (*key, name)) if name in entries else node
    # An error about the whole mapping, such as a missing key, names the source with the last word.
    return Mapping(later.origin, entries)
