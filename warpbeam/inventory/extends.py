"""Shared settings: the files that an environment extends, in the order in which they are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.decode import decode
from warpbeam.inventory.files import seen
from warpbeam.inventory.shape import ALONE
from warpbeam.inventory.source import FileSource
from warpbeam.inventory.tree import ConfigError, Mapping, Node, Place, find

# An environment has one or two; many more are a mistake, such as files that a program wrote.
MOST = 20
KEY = ("extends",)
Extends = Annotated[tuple[Path, ...], ALONE, Meta(description="a file or a list of files, such as _base.yml")]


class Extending(msgspec.Struct, frozen=True):
    """The one key of a file that decides which other files are read."""

    extends: Extends = ()


def file_trees(file: Path) -> tuple[Node, ...]:
    """Return the tree of `file`, the last one, after those of all files that it extends: a later one has the last word.

    A file comes after those that it extends, and once, however many files extend it: otherwise its values would replace
    those of the files that extend it.

    Raises:
        Misuse: a file is unreadable or no mapping, they extend each other in a circle, or they are too many.
    """
    trees: dict[Path, Node] = {}
    _add(FileSource(file), (), trees)
    return tuple(trees.values())


def _add(source: FileSource, above: tuple[Path, ...], trees: dict[Path, Node]) -> None:
    here = _resolved(source.file)
    if here in trees:
        return
    if source.named is not None:
        _check_place(source.named, here, above, len(trees))
    tree = source.read()
    if not isinstance(tree, Mapping) and source.named is not None:
        message = f"expected keys and values, which {seen(above[-1])} extends, found something else"
        raise ConfigError(tree.origin, (), message, "inventory/example.yml explains every key")
    written = find(tree, KEY)
    if written is not None:
        named = Place(KEY, written.origin)
        head = Mapping(tree.origin, {KEY[0]: written})
        for each in decode(head, Extending).extends:
            _add(FileSource(each, named), (*above, here), trees)
    trees[here] = tree


def _check_place(named: Place, here: Path, above: tuple[Path, ...], count: int) -> None:
    if here in above:
        circle = ", ".join(map(seen, (*above[above.index(here) :], here)))
        message = f"expected files that do not extend each other, found a circle: {circle}"
        raise ConfigError(named.origin, named.key, message, "move what they share into a file that extends nothing")
    if count + len(above) >= MOST:
        message = f"expected at most {MOST} files for an environment, found more"
        raise ConfigError(named.origin, named.key, message, "put what they share into fewer files")


def _resolved(file: Path) -> Path:
    """Return the file behind a name; a name that leads nowhere stays, and reading it says what is wrong."""
    try:
        return file.resolve()
    except (OSError, RuntimeError, ValueError):
        return file.absolute()
