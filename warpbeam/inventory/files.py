"""The files of `inventory/`: the list of environments, and how messages name a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from warpbeam.error import Misuse


def environments(directory: Path) -> dict[str, Path]:
    """Return the inventories of `directory` by name: each `NAME.yml` but example.yml, which only explains.

    A file whose name begins with `_` is none, and neither is a file of a sub-directory: environments extend them. So
    the list needs no look into the files, and a base without hosts is no word that fails.

    Raises:
        Misuse: the directory cannot be read, or a file's name cannot be a word of the command line.
    """
    try:
        found = sorted(entry.name for entry in os.scandir(directory) if not entry.name.startswith((".", "_")))
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


def seen(file: Path) -> str:
    """Return `file` relative to the working directory where it lies below that, else as it was named."""
    try:
        return str(file.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(file)
