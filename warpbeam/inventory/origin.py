"""The origin of a value of an inventory, as messages name it.

A value is from a line of a file, or from a place in JSON that a source of hosts gave. Another kind is one more frozen
Struct that is an `Origin`; nothing else needs to know it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from warpbeam.inventory.files import seen


class Origin(Protocol):
    """The place where a value was written. Its text is how messages begin: `inventory/production.yml:12`."""

    def __str__(self) -> str: ...

    @property
    def source(self) -> str:
        """The source alone, as messages name it: two values of one source have the same."""

    @property
    def directory(self) -> Path:
        """The directory that relative paths of the source begin at."""


class FileLine(msgspec.Struct, frozen=True):
    """A line of a file, counted from 1; the file is as it was named."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"

    @property
    def source(self) -> str:
        """The file, relative to the working directory where it lies below that."""
        return seen(self.file)

    @property
    def directory(self) -> Path:
        """The directory of the file."""
        return self.file.absolute().parent


class JsonPointer(msgspec.Struct, frozen=True):
    """A place in the JSON that a source gave, as RFC 6901 writes it; `directory` is that of the source's own place."""

    source: str
    pointer: str
    directory: Path

    def __str__(self) -> str:
        pointer = self.pointer if len(self.pointer) <= 120 else f"{self.pointer[:119]}…"
        return f"{self.source}: {pointer}" if pointer else self.source

    def below(self, name: str) -> JsonPointer:
        """Return the place of the entry `name`."""
        escaped = name.replace("~", "~0").replace("/", "~1")
        return JsonPointer(self.source, f"{self.pointer}/{escaped}", self.directory)
