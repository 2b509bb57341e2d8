"""The layout of a source: the paths of its repository that a build has, each at its place relative to the others."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import msgspec

from warpbeam.error import Misuse


class Layout(msgspec.Struct, frozen=True):
    """The paths below the top of a repository that a build has; none of them lies below another.

    `prefix` is the path of the app, empty or ending in a slash. `more` are the other paths, without a slash at the end.
    """

    prefix: str
    more: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, without a slash at the end; one empty text for the whole repository."""
        outer = [path for path in self.more if lies_in(self.prefix.rstrip("/"), path)]
        return self.more if outer else (self.prefix.rstrip("/"), *self.more)

    @property
    def base(self) -> str:
        """The nearest directory that holds every path, empty or ending in a slash."""
        # An empty prefix holds every path, so there is no other.
        common = posixpath.commonpath([f"/{path}" for path in (self.prefix.rstrip("/"), *self.more)])[1:]
        return f"{common}/" if common else ""

    @property
    def place(self) -> str:
        """The app's path below `base`, empty or ending in a slash."""
        return self.prefix.removeprefix(self.base)

    @property
    def places(self) -> tuple[str, ...]:
        """The paths below `base`, without a slash at the end; one empty text for `base` itself."""
        return tuple(f"{path}/".removeprefix(self.base).rstrip("/") for path in self.paths)


def lies_in(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it; empty text is the top, which holds every path."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def lay_out(top: str, prefix: str, include: Sequence[str]) -> Layout:
    """Return the layout of an app at `prefix` with the paths of `build.include`, which begin at the app.

    Parameters:
        top: the top of the repository, for messages.

    Raises:
        Misuse: a path leads out of the repository.
    """
    paths = {posixpath.normpath(posixpath.join(f"/{prefix}", path)) for path in include}
    for path in include:
        # A path above the root stays at the root: compare the names that are left, not the joined path.
        if posixpath.normpath(posixpath.join(prefix, path)).split("/")[0] == "..":
            raise Misuse(
                f"build.include: {path} leads out of the git repository {top}",
                "a build has the files of one commit of one repository: make it a git submodule there, or a git "
                "dependency in mix.exs",
            )
    app = prefix.rstrip("/")
    found = sorted(path[1:] for path in paths if not lies_in(path[1:], app))
    more = [path for path in found if not any(path != other and lies_in(path, other) for other in found)]
    return Layout(prefix, tuple(more))


def names_beside(directory: Path, places: Sequence[str]) -> list[str]:
    """Return what lies in `directory` on the way to `places` and is none of them: paths below `directory`."""
    if "" in places:
        return []
    beside: list[str] = []
    ways = {"", *(place[:end] for place in places for end, sign in enumerate(place) if sign == "/")}
    for way in sorted(ways):
        if any(lies_in(way, place) for place in places):
            continue
        for entry in os.scandir(directory / way):
            path = posixpath.join(way, entry.name)
            if path not in ways and path not in places:
                beside.append(f"{path}/" if entry.is_dir(follow_symlinks=False) else path)
    return sorted(beside)
