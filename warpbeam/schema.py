"""Fits a tree of YAML nodes to msgspec Structs, and says where and how it does not fit.

msgspec's own path to a bad value loses the keys of mappings (`$.hosts[...].port`), so the walk is ours and
knows the node; msgspec decides about single values.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Never, TypeVar, Union
from typing import get_args as args_of
from typing import get_origin as origin_of
from typing import get_type_hints as hints_of

import msgspec
from msgspec import Meta

from warpbeam.marks import Flaw, Key, Mapping, Node, Scalar, Sequence, quoted
from warpbeam.name import PathText

T = TypeVar("T")

# A field that is not read from YAML but comes from where it was read.
DERIVED = Meta(extra={"derived": True})
# What is found there is never shown: it may be a secret that was put in the wrong place.
HIDDEN = Meta(extra={"hidden": True})
_EXPLAINED = "inventory/example.yml explains every key"


class Place(NamedTuple):
    """Where the walk is: the keys that lead there, what paths are relative to, whether values are shown."""

    key: Key
    base: Path
    hidden: bool = False

    def below(self, name: str) -> Place:
        """The place of the entry `name`."""
        return self._replace(key=(*self.key, name))


def decode(node: Node, type_: type[T], base: Path) -> T:
    """`node` as a value of the Struct `type_`; a Path in it is absolute, from `base` or the home directory.

    Raises:
        Flaw: a value does not fit its type, a key is unknown or missing.
    """
    fitted: T = _fit(node, type_, Place((), base))
    return fitted


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "app"?` for the nearest of `known`, or nothing where none is near."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), folded, 1)
    return f"; did you mean {quoted(folded[near[0]])}?" if near else ""


@cache
def fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The type, with its notes, of each field of `struct` that YAML gives."""
    hints = hints_of(struct, include_extras=True)
    return {name: hint for name, hint in hints.items() if not _noted(hint, "derived")}


@cache
def _needed(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(struct) if field.required)


@cache
def _noted(hint: Any, word: str) -> bool:
    return any(isinstance(note, Meta) and word in (note.extra or {}) for note in _notes(hint))


def _notes(hint: Any) -> tuple[Any, ...]:
    return args_of(hint)[1:] if origin_of(hint) is Annotated else ()


@cache
def _bare(hint: Any) -> Any:
    """A type without its notes."""
    return args_of(hint)[0] if origin_of(hint) is Annotated else hint


def _is_optional(bare: Any) -> bool:
    return origin_of(bare) in (Union, types.UnionType)


def _is_struct(bare: Any) -> bool:
    return isinstance(bare, type) and issubclass(bare, msgspec.Struct)


def _fit(node: Node, hint: Any, place: Place) -> Any:
    if _noted(hint, "hidden"):
        place = place._replace(hidden=True)
    bare = _bare(hint)
    if _is_optional(bare):
        fitted = None if _is_nothing(node) else _fit(node, args_of(bare)[0], place)
    elif _is_struct(bare):
        fitted = _fit_struct(node, hint, place)
    elif origin_of(bare) is dict:
        fitted = _fit_dict(node, bare, place)
    elif origin_of(bare) is tuple:
        fitted = _fit_tuple(node, hint, place)
    elif bare is Path:
        fitted = _fit_path(node, place)
    else:
        try:
            fitted = msgspec.convert(getattr(node, "value", node), hint)
        except msgspec.ValidationError:
            _misfit(node, hint, place)
    return fitted


def _fit_struct(node: Node, hint: Any, place: Place) -> msgspec.Struct:
    struct: type[msgspec.Struct] = _bare(hint)
    known = fields(struct)
    if _is_nothing(node):
        node = Mapping(node.line, {})
    if not isinstance(node, Mapping):
        _misfit(node, hint, place)
    given = {}
    for name, each in node.entries.items():
        here = place.below(name)
        if name not in known:
            near = nearest(name, known) or _elsewhere(name, known)
            message = f"expected {one_of(known)}, found an unknown key{near}"
            raise Flaw(each.line, here.key, message, _EXPLAINED)
        given[name] = _fit(each, known[name], here)
    for name in _needed(struct):
        if name not in given:
            message = f"expected {_expected(known[name])}, found no such key"
            raise Flaw(node.line, place.below(name).key, message, _EXPLAINED)
    try:
        return struct(**given)
    except ValueError as error:
        raise Flaw(node.line, place.key, str(error), _said(hint) or _EXPLAINED) from None


def _fit_dict(node: Node, bare: Any, place: Place) -> dict[str, Any]:
    key_hint, hint = args_of(bare)
    if _is_nothing(node):
        return {}
    if not isinstance(node, Mapping):
        _misfit(node, dict, place)
    for name, each in node.entries.items():
        if not _fits(name, key_hint):
            message = f"expected {_expected(key_hint)}, found {quoted(name)}"
            raise Flaw(each.line, place.below(name).key, message, _EXPLAINED)
    return {name: _fit(each, hint, place.below(name)) for name, each in node.entries.items()}


def _fit_tuple(node: Node, hint: Any, place: Place) -> tuple[Any, ...]:
    inner = args_of(_bare(hint))
    if not isinstance(node, Sequence):
        _misfit(node, hint, place)
    if inner[-1] is Ellipsis:
        least = max((note.min_length or 0 for note in _notes(hint) if isinstance(note, Meta)), default=0)
        if len(node.items) < least:
            _misfit(node, hint, place)
        inner = inner[:1] * len(node.items)
    if len(inner) != len(node.items):
        _misfit(node, hint, place)
    return tuple(_fit(each, of, place) for each, of in zip(node.items, inner, strict=True))


def _fit_path(node: Node, place: Place) -> Path:
    try:
        text = msgspec.convert(getattr(node, "value", node), PathText)
    except msgspec.ValidationError:
        _misfit(node, Path, place)
    try:
        return absolute(text, place.base)
    except (OSError, RuntimeError) as error:
        message = f"expected a path, found one that leads nowhere: {error}"
        raise Flaw(node.line, place.key, message, "look at the name after ~, and at symbolic links") from None


def absolute(path: str, base: Path) -> Path:
    """`path` from `base` or, where it begins with ~, from a home directory; without links and dots.

    Raises:
        RuntimeError: there is no such home directory, or links lead in a circle.
    """
    return (base / Path(path).expanduser()).resolve()


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _misfit(node: Node, hint: Any, place: Place) -> Never:
    bare = _bare(hint)
    near = ""
    if origin_of(bare) is Literal and isinstance(node, Scalar):
        near = nearest(node.text, args_of(bare))
    message = f"expected {_expected(hint)}, found {_found(node, place.hidden)}{near}"
    raise Flaw(node.line, place.key, message, _remedy(node, hint, place.hidden)) from None


def _said(hint: Any) -> str:
    """What a type's own note says to do, if it has one."""
    return next((note.extra["hint"] for note in _notes(hint) if note.extra and "hint" in note.extra), "")


def _remedy(node: Node, hint: Any, hidden: bool) -> str:
    bare = _bare(hint)
    remedy = _said(hint) or _EXPLAINED
    if isinstance(node, Scalar):
        if bare is str and _fits("", hint) and node.value is None:
            remedy = 'write "" for empty text'
        elif bare is str and not isinstance(node.value, str) and _fits(node.text, hint):
            remedy = "write it in quotes" if hidden else f'write it in quotes: "{node.text}"'
        elif bare in (int, float) and node.quoted:
            remedy = "write the number without quotes"
        elif origin_of(bare) is tuple and node.value is not None:
            remedy = "write a list: [one, two], or a line that begins with - for each"
    return remedy


def _fits(text: str, hint: Any) -> bool:
    try:
        msgspec.convert(text, hint)
    except msgspec.ValidationError:
        return False
    return True


_SIMPLE = {str: "text", int: "a whole number", float: "a number", tuple: "a list", dict: "keys and values"}


def _expected(hint: Any) -> str:
    for note in _notes(hint):
        if isinstance(note, Meta) and note.description:
            return note.description
    bare = _bare(hint)
    inner = args_of(bare)
    if origin_of(bare) is Literal:
        wanted = one_of(quoted(each) for each in inner)
    elif _is_optional(bare):
        wanted = _expected(inner[0])
    elif _is_struct(bare):
        wanted = "keys and values (" + ", ".join(fields(bare)) + ")"
    elif origin_of(bare) is tuple and inner[-1] is not Ellipsis:
        wanted = f"a list of {len(inner)}, each {_expected(inner[0])}"
    elif bare is Path:
        wanted = _expected(PathText)
    else:
        wanted = _SIMPLE[origin_of(bare) or bare]
    return wanted


def _found(node: Node, hidden: bool) -> str:
    if isinstance(node, Mapping):
        return "keys and values"
    if isinstance(node, Sequence):
        return f"a list of {len(node.items)}" if node.items else "an empty list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str):
        return "other text" if hidden else quoted(node.text)
    kind = "the boolean" if isinstance(node.value, bool) else "the number"
    return kind.replace("the", "a") if hidden else f"{kind} {node.text}"


def _elsewhere(name: str, known: dict[str, Any]) -> str:
    """`; did you mean "deploy.strategy"?` where a part of the Struct has a field of that name."""
    for part, hint in known.items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and name in fields(hint):
            return f"; did you mean {quoted(f'{part}.{name}')}?"
    return ""


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
