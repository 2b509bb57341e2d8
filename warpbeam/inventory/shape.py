"""The shape of a type: what the values of an inventory must look like, as its annotations say.

The `extra` of a type's `Meta` holds what msgspec has no field for: `derived`, `hidden`, `alone` (a list whose one item
may be written without a list), `numeral` (text that may be written as a number), `short` (the one key of a Struct that
may be written as a word in its place), `nothing` (the word for None, in place of an empty value) and `hint` (what to do
about a value that does not fit).
"""

from __future__ import annotations

import types
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union
from typing import get_args as args_of
from typing import get_origin as origin_of
from typing import get_type_hints as hints_of

import msgspec
from msgspec import Meta

# A field that is not in the YAML: it comes from the file's name or place, or from a key.
DERIVED = Meta(extra={"derived": True})
# A value that is never shown: it may be a secret in the wrong place.
HIDDEN = Meta(extra={"hidden": True})
# A list whose one item may be written alone.
ALONE = Meta(extra={"alone": True})


class Shape(NamedTuple):
    """A type, taken apart once: its kind, the shapes of its parts, and its annotations."""

    hint: Any
    bare: Any
    kind: Literal["optional", "choice", "struct", "dict", "list", "pair", "path", "literal", "value"]
    inner: tuple[Shape, ...]
    description: str
    remedy: str
    least: int
    derived: bool
    hidden: bool
    alone: bool
    numeral: bool
    short: str
    nothing: str


@cache
def shape_of(hint: Any) -> Shape:
    """Return the shape of a type with its annotations."""
    annotated = origin_of(hint) is Annotated
    notes = [note for note in args_of(hint)[1:] if isinstance(note, Meta)] if annotated else []
    bare = args_of(hint)[0] if annotated else hint
    said = {key: value for note in notes for key, value in (note.extra or {}).items()}
    origin, args = origin_of(bare), args_of(bare)
    kind: Any = {dict: "dict", tuple: "pair", Literal: "literal"}.get(origin, "path" if bare is Path else "value")
    if origin in (Union, types.UnionType):
        kind = "optional" if types.NoneType in args else "choice"
    elif kind == "pair" and args[-1] is Ellipsis:
        kind, args = "list", args[:1]
    elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        kind = "struct"
    return Shape(
        hint=hint,
        bare=bare,
        kind=kind,
        inner=() if kind == "literal" else tuple(map(shape_of, args)),
        description=next((note.description for note in notes if note.description), ""),
        remedy=said.get("hint", ""),
        least=next((note.min_length for note in notes if note.min_length), 0),
        derived="derived" in said,
        hidden="hidden" in said,
        alone="alone" in said,
        numeral="numeral" in said,
        short=said.get("short", ""),
        nothing=said.get("nothing", ""),
    )


@cache
def fields(struct: Any) -> dict[str, Shape]:
    """Return the shape of each field of `struct` that YAML may have; its own come before those that it inherits."""
    hints = hints_of(struct, include_extras=True)
    shapes = {field.name: shape_of(hints[field.name]) for field in msgspec.structs.fields(struct)}
    return {name: shape for name, shape in shapes.items() if not shape.derived}
