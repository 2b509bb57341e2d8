"""JSON as a tree whose nodes know their JSON pointer (RFC 6901)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from warpbeam.inventory.origin import JsonPointer
from warpbeam.inventory.tree import ConfigError, Mapping, Node, Scalar, Sequence, quoted


class _Faulty(ValueError):
    """A value that JSON's own parser lets pass."""


def parse_json(text: str, source: str, directory: Path) -> Node:
    """Return the tree of a JSON text.

    Parameters:
        source: what messages call the text.
        directory: where relative paths of the text begin.

    Raises:
        ConfigError: the text is no JSON, names a key twice, or is too deep.
    """
    root = JsonPointer(source, "", directory)
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        return _node(value, root)
    except _Faulty as fault:
        raise ConfigError(root, (), f"expected JSON, found {fault}", "run it by hand to see all of it") from None
    except json.JSONDecodeError as fault:
        found = f"a fault on line {fault.lineno} ({fault.msg})" if text.strip() else "nothing"
        raise ConfigError(root, (), f"expected JSON, found {found}", "run it by hand to see all of it") from None
    except (ValueError, RecursionError):
        message = "expected JSON, found a number or a nesting beyond all reason"
        raise ConfigError(root, (), message, "run it by hand to see all of it") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise _Faulty(f"the key {quoted(twice)} twice")
    return found


def _no_number(text: str) -> float:
    raise _Faulty(f"{text}, which is no number of JSON")


def _node(value: Any, at: JsonPointer) -> Node:
    if isinstance(value, dict):
        return Mapping(at, {name: _node(each, at.below(name)) for name, each in value.items()})
    if isinstance(value, list):
        return Sequence(at, tuple(_node(each, at.below(str(index))) for index, each in enumerate(value)))
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Scalar(at, text, value, quoted=isinstance(value, str))
