"""Trees of an inventory: nodes that know their origin, and the error that names a place of a tree."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from warpbeam.error import Misuse
from warpbeam.inventory.origin import Origin

Key = tuple[str, ...]

_LONGEST_SHOWN = 40
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


class Scalar(msgspec.Struct, frozen=True):
    """A single value: `text` as written (without quotes), `value` as YAML 1.2 understands it."""

    origin: Origin
    text: str
    value: bool | int | float | str | None
    quoted: bool = False


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    origin: Origin
    items: tuple[Node, ...]


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values, in the order of the source. A value's origin is that of its key."""

    origin: Origin
    entries: dict[str, Node]


Node = Scalar | Sequence | Mapping


class Place(NamedTuple):
    """A place of a tree: the path of keys that leads to it (empty: none is at fault), and its origin."""

    key: Key
    origin: Origin

    def __str__(self) -> str:
        """Return `inventory/production.yml:12: hosts.web1.roles`."""
        return f"{self.origin}: {dotted(self.key)}" if self.key else str(self.origin)


class ConfigError(Misuse):
    """An error at a place of an inventory.

    Parameters:
        origin, key: the place; see `Place`.
        message: what was expected and what was found.
        hint: what to do.
        others: further places that take part in the error; the message names those of other sources.
    """

    def __init__(self, origin: Origin, key: Key, message: str, hint: str = "", others: tuple[Place, ...] = ()) -> None:
        elsewhere = [str(other) for other in others if other.origin.source != origin.source]
        also = f"; see also {' and '.join(elsewhere)}" if elsewhere else ""
        super().__init__(f"{Place(key, origin)}: {message}{also}", hint)
        self.origin = origin
        self.key = key
        self.others = others


def dotted(key: Key) -> str:
    """Return a path of keys for a message; a key that is more than letters, digits, - and _ is in quotes."""
    return ".".join(part if _PLAIN_KEY.match(part) else quoted(part) for part in key)


def quoted(text: str) -> str:
    """Return `text` in double quotes on one line, cut where it is long."""
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    # A file name that is not UTF-8 holds surrogates, which nothing can print.
    return msgspec.json.encode(short.encode(errors="backslashreplace").decode()).decode()


def find(tree: Node, key: Key) -> Node | None:
    """Return the node that `key` leads to, or None where the tree has no such node."""
    for part in key:
        if not isinstance(tree, Mapping) or part not in tree.entries:
            return None
        tree = tree.entries[part]
    return tree


def path_of(tree: Node, wanted: Node) -> Key | None:
    """Return the path of keys that leads to this very node of `tree`, or None where it is not in it."""
    if tree is wanted:
        return ()
    for name, node in tree.entries.items() if isinstance(tree, Mapping) else ():
        if (below := path_of(node, wanted)) is not None:
            return (name, *below)
    return None
