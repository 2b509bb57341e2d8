"""The files of `inventory/`: the list of environments, and the text of one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from warpbeam.error import Misuse

# An inventory of 200 hosts has 20 KB; anything longer is some other file, or a device that never ends.
_LARGEST = 1 << 20


def environments(directory: Path) -> dict[str, Path]:
    """Return the inventories of `directory` by name: each `NAME.yml` but example.yml, which only explains.

    Raises:
        Misuse: the directory cannot be read, or a file's name cannot be a word of the command line.
    """
    try:
        found = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith("."))
    except OSError as error:
        raise Misuse(
            f"{seen(directory)}: expected a directory of inventories, found none: {error.strerror}",
            "WARPBEAM_INVENTORY names the directory; without it, it is inventory/ beside fabfile.py",
        ) from None
    names: dict[str, Path] = {}
    for file in (directory / name for name in found):
        if file.suffix == ".yaml":
            raise Misuse(
                f"{seen(file)}: expected a file that ends in .yml, found .yaml",
                f"rename it to {file.with_suffix('.yml').name}",
            )
        if file.suffix != ".yml" or file.name == "example.yml":
            continue
        if not re.fullmatch("[a-z][a-z0-9-]*", file.stem):
            fit = re.sub("[^a-z0-9]+", "-", file.stem.lower()).strip("-0123456789")
            raise Misuse(
                f"{seen(file)}: expected a name of a-z, 0-9 and -, beginning with a letter",
                f"rename it to {fit}.yml" if fit else "rename it",
            )
        names[file.stem] = file
    return names


def environment_text(file: Path) -> str:
    """Return the text of `file`.

    Raises:
        Misuse: it is missing, unreadable, no file, too large or not UTF-8.
    """
    try:
        if file.exists() and not file.is_file():
            raise Misuse(f"{seen(file)}: expected a file, found a directory or device", "name a file")
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
    except FileNotFoundError:
        others = sorted(other.name for other in file.parent.glob("*.yml"))
        known = f"there is: {', '.join(others)}" if others else "the head of inventory/example.yml shows how to begin"
        message = f"{seen(file)}: expected an inventory, found no such file"
        # Imported late, to save time: `fab --list` uses this module but never gets here.
        from warpbeam.inventory.decode import nearest

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
        line = content.count(b"\n", 0, error.start) + 1
        found = f"found the byte 0x{content[error.start]:02x}"
        raise Misuse(f"{seen(file)}:{line}: expected UTF-8, {found}", "save the file as UTF-8") from None


def seen(file: Path) -> str:
    """Return `file` relative to the working directory where it lies below that, else as it was named."""
    try:
        return str(file.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(file)
