"""Options of the command line that override a key of the inventory: all about them stands in the schema.

A field of the schema that an option overrides is annotated with `overridden_by`. The option takes its text, its type
and range, and its default from that field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory


class Option(msgspec.Struct, frozen=True):
    """An option: what it sets, the word for its value, the values that it takes, and the schema's default."""

    section: str
    key: str
    text: str
    value: str
    expected: str
    default: Any

    @property
    def flag(self) -> str:
        """The option as people type it."""
        return f"--{self.key.replace('_', '-')}"

    @property
    def help(self) -> str:
        """The text of `fab --help TASK`."""
        expected = f"; {self.expected}" if self.expected else ""
        default = f"{self.default:g}" if isinstance(self.default, float | int) else self.default
        return f"{self.text}{expected} (default: `{self.section}: {self.key}` of the inventory, {default} if not set)"


def option_of(section: str, key: str) -> Option:
    """Return the option that overrides a key. Raises: KeyError, where the schema has no option for it."""
    hint = _hint(section, key)
    notes = [note for note in get_args(hint)[1:] if isinstance(note, Meta)]
    said = {name: value for note in notes for name, value in (note.extra or {}).items()}
    values = get_args(get_args(hint)[0]) if get_origin(get_args(hint)[0]) is Literal else ()
    return Option(
        section=section,
        key=key,
        text=said["option"],
        value="|".join(values) or said["value"],
        # The word for its value lists the values already.
        expected="" if values else next(note.description for note in notes if note.description),
        default=getattr(_struct(section)(), key),
    )


def overridden(inventory: Inventory, section: str, key: str, text: str) -> Any:
    """Return the value that an option's `text` asks for; the inventory's for an empty one.

    Raises: Misuse, where the text does not fit the key's type and range.
    """
    if not text:
        return getattr(getattr(inventory, section), key)
    try:
        return msgspec.convert(text, _hint(section, key), strict=False)
    except msgspec.ValidationError:
        option = option_of(section, key)
        expected = option.expected or option.value.replace("|", " or ")
        raise Misuse(f"{option.flag}: expected {expected}, found {text!r}") from None


def _struct(section: str) -> Any:
    return get_type_hints(Inventory)[section]


def _hint(section: str, key: str) -> Any:
    hint = get_type_hints(_struct(section), include_extras=True)[key]
    return hint if get_origin(hint) is Annotated else Annotated[hint, Meta()]
