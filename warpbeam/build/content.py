"""Rules for what a release may hold: the files, links and directories of a manifest, whatever its origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warpbeam.build.artifact import Item

# Hosts keep a release's metadata in `RELEASE/.warpbeam`.
OURS = ".warpbeam"
# Far more than any release has. Without a limit, a manifest could keep this machine or a host busy for hours.
MOST_FILES = 200_000
MOST_LINKS = 10_000
MOST_EMPTY = 10_000
MOST_BYTES = 16 * 1024**3
# NAME_MAX and PATH_MAX of Linux, in bytes.
LONGEST_NAME, LONGEST_PATH = 255, 4095
# For one link: how many links Linux follows (path_resolution(7)), and how many names are looked at here.
FOLLOWED, STEPS = 40, 500

# C0, DEL and C1.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Reading replaces (U+FFFD) or escapes (surrogates) bytes that are not UTF-8.
NOT_UTF8 = re.compile("[\ufffd\ud800-\udfff]")
NO_NAME = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)")
MODE = re.compile(r"[0-7]{3}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def violation(files: Sequence[Item], directories: Sequence[str] = ()) -> str:
    """Return a sentence about the first thing in a manifest that no release may hold; empty where there is none.

    Parameters:
        directories: the empty directories.
    """
    return _excess(files, directories) or next(_violations(files, directories), "")


def shown(name: str) -> str:
    """Return a name fit for a message: quoted, without control characters, and not too long."""
    return repr(name if len(name) <= 100 else f"{name[:99]}…")


def _excess(files: Sequence[Item], directories: Sequence[str]) -> str:
    """Return what exceeds a limit, in a sentence; empty where nothing does."""
    links = sum(bool(item.link) for item in files)
    size = sum(item.size for item in files if item.size > 0)
    for count, what, most in (
        (len(files), "files", MOST_FILES),
        (len(directories), "empty directories", MOST_EMPTY),
        (links, "links", MOST_LINKS),
    ):
        if count > most:
            return f"it has {count} {what}, more than {most}"
    return f"its files have {size} bytes, more than {MOST_BYTES}" if size > MOST_BYTES else ""


def _violations(files: Sequence[Item], directories: Sequence[str]) -> Iterator[str]:
    links = {item.path: item.link for item in files if item.link}
    kinds: dict[str, str] = {}
    for path, kind, wrong in (
        *((it.path, "link" if it.link else "file", _wrong_link(it) if it.link else _wrong_file(it)) for it in files),
        *((path, "directory with nothing in it", "") for path in directories),
    ):
        if what := _wrong_name(path) or wrong:
            yield f"{shown(path)} {what}"
        if path in kinds:
            yield f"{shown(path)} is there twice"
        kinds[path] = kind
    for directory, path in _directories([*kinds]).items():
        if directory in kinds:
            yield f"{shown(path)} is below {shown(directory)}, which is a {kinds[directory]}"
    for path, target in links.items():
        if what := _wrong_aim(path, links):
            yield f"{shown(path)} is a link to {shown(target)}, which {what}"


def _wrong_name(path: str) -> str:
    if CONTROL.search(path):
        return "has a control character in its name"
    if NOT_UTF8.search(path):
        return "has a name that is not UTF-8"
    if NO_NAME.search(path):
        return "is no name below the release (expected names between single slashes, none of them . or ..)"
    size = len(path.encode())
    if size > LONGEST_PATH or (
        size > LONGEST_NAME and max(len(name.encode()) for name in path.split("/")) > LONGEST_NAME
    ):
        return f"has too long a name (expected at most {LONGEST_NAME} bytes, {LONGEST_PATH} with its directories)"
    if path.partition("/")[0].casefold() == OURS:
        return f"has a name that is Warpbeam's own ({OURS})"
    return ""


def _wrong_file(item: Item) -> str:
    if not MODE.fullmatch(item.mode):
        return f"has mode {shown(item.mode)} (expected three octal digits)"
    if int(item.mode, 8) & 0o022:
        return f"has mode {item.mode}: others than its owner may write it"
    if item.size < 0:
        return f"has {item.size} bytes"
    if not SHA256.fullmatch(item.sha256):
        return f"has the checksum {shown(item.sha256)} (expected 64 hex digits)"
    return ""


def _wrong_link(item: Item) -> str:
    target = shown(item.link)
    if item.mode != "777" or item.size != 0 or item.sha256:
        return "is a link and has a mode, a size or a checksum"
    if CONTROL.search(item.link):
        return f"is a link to {target}, which holds a control character"
    if NOT_UTF8.search(item.link):
        return f"is a link to {target}, which is not UTF-8"
    if len(item.link.encode()) > LONGEST_PATH:
        return f"is a link to {target}, which is longer than {LONGEST_PATH} bytes"
    return ""


def _directories(paths: Sequence[str]) -> dict[str, str]:
    """Return every directory that is not empty, each with a path below it."""
    found: dict[str, str] = {}
    for path in paths:
        directory = path.rpartition("/")[0]
        while directory and directory not in found:
            found[directory] = path
            directory = directory.rpartition("/")[0]
    return found


def _wrong_aim(path: str, links: Mapping[str, str]) -> str:
    """Return why a link must not lead where it leads; follows it as Linux does: name by name, through other links."""
    if links[path].startswith("/"):
        return "is outside of the release"
    here = path.split("/")[:-1]
    rest = links[path].split("/")[::-1]
    followed = 1
    for _ in range(STEPS):
        if not rest:
            return f"is Warpbeam's own ({OURS})" if here and here[0].casefold() == OURS else ""
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                return "is outside of the release"
            here.pop()
            continue
        here.append(name)
        target = links.get("/".join(here))
        if target is None:
            continue
        followed += 1
        if target.startswith("/"):
            return "is outside of the release"
        if followed > FOLLOWED:
            break
        here.pop()
        rest += target.split("/")[::-1]
    return "leads to no end"
