"""The settings of an environment: each resulting value with the place that it comes from, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from warpbeam.inventory.origin import Origin
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.secret import Secret
from warpbeam.inventory.shape import Shape, fields, shape_of
from warpbeam.inventory.tree import Key, Mapping, Node, Scalar, Sequence, dotted

Plain = str | int | float | bool | list[str | int] | None

DEFAULT = "default"


class Setting(msgspec.Struct, frozen=True):
    """A value of an environment. `origin` is None for a default, which is written nowhere."""

    key: Key
    value: Plain
    origin: Origin | None


def settings(inventory: Inventory, tree: Node) -> list[Setting]:
    """Return every value of `inventory`, as it was decoded from `tree`, in the order of the schema.

    A part that is empty by default has none. A secret has the kind of its source in place of its value; a command is
    not shown, because a value may stand in it by mistake.
    """
    return [*_settings(inventory, shape_of(Inventory), tree, ())]


def _settings(value: Any, shape: Shape, node: Node | None, key: Key) -> Iterator[Setting]:
    if shape.kind == "optional" and value is not None:
        shape = shape.inner[0]
    origin = node.origin if node is not None else None
    if isinstance(value, Secret):
        yield Setting(key, _source(value), origin)
    elif isinstance(value, msgspec.Struct):
        # Parts of a group, or of a host, take the place of the environment's with what is written there alone.
        written_alone = len(key) > 2 and key[0] in ("groups", "hosts")
        for name, part in fields(type(value)).items():
            below = _field(node, name, shape)
            if below is not None or not written_alone:
                yield from _settings(getattr(value, name), part, below, (*key, name))
    elif value == {} and isinstance(node, Scalar):
        yield Setting(key, None, origin)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _settings(each, shape.inner[1], _entry(node, name), (*key, name))
    elif isinstance(value, tuple) and any(isinstance(each, msgspec.Struct) for each in value):
        for index, each in enumerate(value):
            yield from _settings(each, shape.inner[0], _item(node, index), (*key, str(index)))
    elif key[0] == "hosts_from" and key[-1] == "command" and value is not None:
        # A password may stand in it.
        yield Setting(key, "(a command)", origin)
    elif node is not None or value not in (None, ()):
        yield Setting(key, _plain(value), origin)


def _source(secret: Secret) -> str:
    """Return where a secret comes from, in words."""
    if secret.env is not None:
        return f"(variable {secret.env})"
    return f"(file {secret.file})" if secret.file is not None else "(a command)"


def _plain(value: Any) -> Plain:
    if isinstance(value, tuple):
        return [each if isinstance(each, int) else str(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _entry(node: Node | None, name: str) -> Node | None:
    return node.entries.get(name) if isinstance(node, Mapping) else None


def _field(node: Node | None, name: str, shape: Shape) -> Node | None:
    """Return the node of a Struct's field; a Struct may be written as the one value of its `short` key."""
    if isinstance(node, Scalar) and node.value is not None and name == shape.short:
        return node
    return _entry(node, name)


def _item(node: Node | None, index: int) -> Node | None:
    return node.items[index] if isinstance(node, Sequence) else None


def row(setting: Setting, *, origin: bool) -> dict[str, Any]:
    """Return a setting as a row of a table or of JSON, with its origin if that is asked for."""
    shown: dict[str, Any] = {"key": dotted(setting.key), "value": setting.value}
    return {**shown, "origin": str(setting.origin or DEFAULT)} if origin else shown


def as_text(value: Plain) -> str:
    """Return a value as a person would write it on one line of YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "(none)", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
