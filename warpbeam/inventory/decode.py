"""Decoding: fit a tree to msgspec Structs, with an error that names the place that does not fit.

msgspec's own path to a bad value loses the keys of mappings (`$.hosts[...].port`), so this module walks the nodes
itself and leaves only single values to msgspec.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Never, TypeVar
from typing import get_args as args_of

import msgspec

from warpbeam.inventory.names import PathText
from warpbeam.inventory.shape import Shape, fields, shape_of
from warpbeam.inventory.tree import ConfigError, Key, Mapping, Node, Scalar, Sequence, quoted

T = TypeVar("T")

EXPLAINED = "inventory/example.yml explains every key"
_SIMPLE = {str: "text", int: "a whole number", float: "a number"}


class Position(NamedTuple):
    """A position in the tree: the keys that lead to it, and whether its values are hidden."""

    key: Key
    hidden: bool = False

    def below(self, name: str) -> Position:
        """Return the position of the entry `name`."""
        return Position((*self.key, name), self.hidden)


def decode(tree: Node, type_: type[T]) -> T:
    """Return `tree` as a value of the Struct `type_`; a Path in it is absolute.

    A relative path begins at the directory of the source that has it, or with ~ at a home directory.

    Raises:
        ConfigError: a value does not fit its type, a key is unknown or missing.
    """
    struct: Any = type_
    fitted: T = _fit(tree, shape_of(struct), Position(()))
    return fitted


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "app"?` for the nearest of `known`, or empty text where none is near."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), folded, 1)
    return f"; did you mean {quoted(folded[near[0]])}?" if near else ""


def absolute(path: str, base: Path) -> Path:
    """Return `path` from `base` or, where it begins with ~, from a home directory; without links and dots.

    Raises:
        RuntimeError: there is no such home directory, or links lead in a circle.
    """
    return (base / Path(path).expanduser()).resolve()


@cache
def _needed(struct: Any) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(struct) if field.required)


def _fit(node: Node, shape: Shape, position: Position) -> Any:
    if shape.hidden:
        position = position._replace(hidden=True)
    match shape.kind:
        case "optional":
            fitted = None if _is_nothing(node, shape.nothing) else _fit(node, _described(shape), position)
        case "choice":
            fitted = _fit_choice(node, shape, position)
        case "struct":
            fitted = _fit_struct(node, shape, position)
        case "dict":
            fitted = _fit_dict(node, shape, position)
        case "list" | "pair":
            fitted = _fit_tuple(node, shape, position)
        case "path":
            fitted = _fit_path(node, shape, position)
        case _:
            value = node.value if isinstance(node, Scalar) else node
            if shape.numeral and isinstance(node, Scalar) and type(value) is int:
                value = node.text
            try:
                fitted = msgspec.convert(value, shape.hint)
            except msgspec.ValidationError:
                _misfit(node, shape, position)
    return fitted


def _fit_struct(node: Node, shape: Shape, position: Position) -> Any:
    known = fields(shape.bare)
    if _is_nothing(node):
        node = Mapping(node.origin, {})
    if shape.short and isinstance(node, Scalar):
        node = Mapping(node.origin, {shape.short: node})
    if not isinstance(node, Mapping):
        _misfit(node, shape, position)
    given = {}
    for name, each in node.entries.items():
        here = position.below(name)
        if name not in known:
            near = nearest(name, known) or _elsewhere(name, known)
            message = f"an unknown key{near or ';'} expected {one_of(known)}"
            raise ConfigError(each.origin, here.key, message, EXPLAINED)
        given[name] = _fit(each, known[name], here)
    for name in _needed(shape.bare):
        if name not in given:
            message = f"expected {_expected(known[name])}, found no such key"
            raise ConfigError(node.origin, position.below(name).key, message, EXPLAINED)
    try:
        return shape.bare(**given)
    except ValueError as error:
        raise ConfigError(node.origin, position.key, str(error), shape.remedy or EXPLAINED) from None


def _fit_dict(node: Node, shape: Shape, position: Position) -> dict[str, Any]:
    if _is_nothing(node):
        return {}
    if not isinstance(node, Mapping):
        _misfit(node, shape, position)
    names, values = shape.inner
    fitted = {}
    for name, each in node.entries.items():
        here = position.below(name)
        if not _fits(name, names):
            message = f"expected {_expected(names)}, found {quoted(name)}"
            raise ConfigError(each.origin, here.key, message, EXPLAINED)
        fitted[name] = _fit(each, values, here)
    return fitted


def _fit_tuple(node: Node, shape: Shape, position: Position) -> tuple[Any, ...]:
    if shape.alone and isinstance(node, Scalar) and node.value is not None:
        node = Sequence(node.origin, (node,))
    if not isinstance(node, Sequence):
        _misfit(node, shape, position)
    inner = shape.inner * len(node.items) if shape.kind == "list" else shape.inner
    if len(inner) != len(node.items) or len(inner) < shape.least:
        _misfit(node, shape, position)
    return tuple(_fit(each, of, position) for each, of in zip(node.items, inner, strict=True))


def _fit_choice(node: Node, shape: Shape, position: Position) -> Any:
    """Return a node that is a list, or else one of some words."""
    words, items = shape.inner
    if isinstance(node, Sequence) and len(node.items) >= items.least:
        return _fit(node, items, position)
    if not isinstance(node, Scalar) or not _fits(node.text, words):
        _misfit(node, shape, position)
    return node.text


def _fit_path(node: Node, shape: Shape, position: Position) -> Path:
    text = node.value if isinstance(node, Scalar) else None
    if not isinstance(text, str) or not _fits(text, shape_of(PathText)):
        _misfit(node, shape, position)
    try:
        return absolute(text, node.origin.directory)
    except (OSError, RuntimeError) as error:
        message = f"expected a path, found one that leads nowhere: {error}"
        hint = "look at the name after ~, and at symbolic links"
        raise ConfigError(node.origin, position.key, message, hint) from None


def _is_nothing(node: Node, word: str = "") -> bool:
    """Return whether a node is empty, or has the `word` that the type has for that: then an empty one is a mistake."""
    return isinstance(node, Scalar) and (node.text == word if word else node.value is None)


def _described(shape: Shape) -> Shape:
    """Return the shape of a value that is optional, with the description of both."""
    inner = shape.inner[0]
    return inner._replace(description=shape.description) if shape.description else inner


def _fits(text: str, shape: Shape) -> bool:
    try:
        msgspec.convert(text, shape.hint)
    except msgspec.ValidationError:
        return False
    return True


def _misfit(node: Node, shape: Shape, position: Position) -> Never:
    near = ""
    if shape.kind == "literal" and isinstance(node, Scalar):
        near = nearest(node.text, args_of(shape.bare))
    message = f"expected {_expected(shape)}, found {_found(node, position.hidden)}{near}"
    raise ConfigError(node.origin, position.key, message, _remedy(node, shape, position.hidden)) from None


def _remedy(node: Node, shape: Shape, hidden: bool) -> str:
    if isinstance(node, Scalar):
        if shape.bare is str and node.value is None and _fits("", shape):
            return 'write "" for empty text'
        if shape.bare is str and not isinstance(node.value, str) and _fits(node.text, shape):
            return "write it in quotes" if hidden else f'write it in quotes: "{node.text}"'
        if shape.bare in (int, float) and node.quoted:
            return "write the number without quotes"
        if shape.kind in ("list", "pair", "choice") and node.value is not None:
            return "write a list: [one, two], or a line that begins with - for each"
    return shape.remedy or EXPLAINED


def _expected(shape: Shape) -> str:
    match shape.kind:
        case _ if shape.description:
            wanted = shape.description
        case "literal":
            wanted = one_of(map(quoted, args_of(shape.bare)))
        case "optional":
            wanted = _expected(shape.inner[0])
        case "struct":
            wanted = "keys and values (" + ", ".join(fields(shape.bare)) + ")"
        case "dict":
            wanted = "keys and values"
        case "list":
            wanted = "a list"
        case "pair":
            wanted = f"a list of {len(shape.inner)}, each {_expected(shape.inner[0])}"
        case "path":
            wanted = _expected(shape_of(PathText))
        case _:
            wanted = _SIMPLE[shape.bare]
    return wanted


def _found(node: Node, hidden: bool) -> str:
    if isinstance(node, Mapping):
        found = "keys and values"
    elif isinstance(node, Sequence):
        found = f"a list of {len(node.items)}" if node.items else "an empty list"
    elif node.value is None:
        found = "nothing"
    elif isinstance(node.value, str):
        found = "other text" if hidden else quoted(node.text)
    else:
        kind = "boolean" if isinstance(node.value, bool) else "number"
        found = f"a {kind}" if hidden else f"the {kind} {node.text}"
    return found


def _elsewhere(name: str, known: dict[str, Shape]) -> str:
    """Return `; did you mean "deploy.strategy"?` where a part of the Struct has a field of that name."""
    for part, shape in known.items():
        if shape.kind == "struct" and name in fields(shape.bare):
            return f"; did you mean {quoted(f'{part}.{name}')}?"
    return ""


def one_of(names: Iterable[str]) -> str:
    """Return `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
