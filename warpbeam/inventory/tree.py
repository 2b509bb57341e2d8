"""Positions in a YAML text: nodes that know their line, and the error that names a place."""

from __future__ import annotations

import re

import msgspec

Key = tuple[str, ...]

_LONGEST_SHOWN = 40
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


class ConfigError(Exception):
    """An error at a place of a YAML text.

    Parameters:
        line: counted from 1.
        key: the path of keys that leads to the place; empty where no key is at fault.
        message: what was expected and what was found.
        hint: what to do.
    """

    def __init__(self, line: int, key: Key, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.key = key
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return `12: hosts.web1.roles: expected ..., found ...`, to follow the file's name and a colon."""
        return ": ".join(filter(None, (str(self.line), dotted(self.key), self.message)))


class Scalar(msgspec.Struct, frozen=True):
    """A single value: `text` as written (without quotes), `value` as YAML 1.2 understands it."""

    line: int
    text: str
    value: bool | int | float | str | None
    quoted: bool = False


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    line: int
    items: tuple[Node, ...]


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values, in the order of the text. A value's line is the line of its key."""

    line: int
    entries: dict[str, Node]


Node = Scalar | Sequence | Mapping


def dotted(key: Key) -> str:
    """Return a path of keys for a message; a key that is more than letters, digits, - and _ is in quotes."""
    return ".".join(part if _PLAIN_KEY.match(part) else quoted(part) for part in key)


def quoted(text: str) -> str:
    """Return `text` in double quotes on one line, cut where it is long."""
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    # A file name that is not UTF-8 holds surrogates, which nothing can print.
    return msgspec.json.encode(short.encode(errors="backslashreplace").decode()).decode()


def line_of(node: Node, key: Key) -> int | None:
    """Return the line of the node that `key` leads to, or None where the text has no such node."""
    for part in key:
        if not isinstance(node, Mapping) or part not in node.entries:
            return None
        node = node.entries[part]
    return node.line
