"""Sources of an inventory: what its values are read from, each giving one tree."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from warpbeam.error import Misuse
from warpbeam.inventory.decode import nearest
from warpbeam.inventory.files import seen
from warpbeam.inventory.origin import FileLine
from warpbeam.inventory.strict_yaml import parse
from warpbeam.inventory.tree import ConfigError, Node, Place

# An inventory of 200 hosts has 20 KB; anything longer is some other file, or a device that never ends.
_LARGEST = 1 << 20


class Source(Protocol):
    """A source of an inventory's values."""

    def read(self) -> Node:
        """Return the tree of its values. Raises: Misuse, where it cannot be read or is no tree."""


class FileSource(msgspec.Struct, frozen=True):
    """A YAML file, as it was named; `named` is the place that names it, if a file does."""

    file: Path
    named: Place | None = None

    def read(self) -> Node:
        """Return the tree of the file.

        Raises:
            Misuse: it is missing, unreadable, no file, too large, not UTF-8 or not the YAML that we read.
        """
        try:
            text = _text(self.file)
        except ConfigError:
            raise
        except Misuse as misuse:
            if self.named is None:
                raise
            hint = f"a relative path begins at {seen(self.named.origin.directory)}; {misuse.hint}"
            raise ConfigError(self.named.origin, self.named.key, misuse.reason, hint) from None
        return parse(text, self.file)


def _text(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise Misuse(f"{seen(file)}: expected a file, found a directory or device", "name a file")
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except FileNotFoundError:
        others = sorted(other.name for other in file.parent.glob("*.yml"))
        known = f"there is: {', '.join(others)}" if others else "the head of inventory/example.yml shows how to begin"
        message = f"{seen(file)}: expected an inventory, found no such file"
        raise Misuse(message + nearest(file.name, others), known) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{seen(file)}: expected an inventory, cannot read it: {reason}"
        raise Misuse(message, "look at the file's owner and mode") from None
    if len(content) > _LARGEST:
        raise Misuse(f"{seen(file)}: expected an inventory, found more than 1 MiB", "name another file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        origin = FileLine(file, content.count(b"\n", 0, error.start) + 1)
        message = f"expected UTF-8, found the byte 0x{content[error.start]:02x}"
        raise ConfigError(origin, (), message, "save the file as UTF-8") from None
