"""How a host's file differs from what setup would write, for people to read; no secret is in it.

`mask.sh` does on the host what `masked` does here, so that a secret's old value never leaves the host.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from warpbeam.provision.difference import HostState
from warpbeam.provision.item import File

_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_OURS = "Written by Warpbeam's setup."


def compared(file: File, found: HostState, key: str) -> list[str]:
    """A unified diff from what a host has at the file's path to the file; empty where the texts are the same.

    Parameters:
        key: what the host made the digests of hidden values with.
    """
    import difflib

    there = found.paths.get(file.path)
    old = "" if there is None else there.text
    new = file.content if file.clear is None else masked(file.content, file.clear, key)
    if there is not None and old is None:
        return [f"{file.path}: what is there is no text, or too much to show"] if _differs(file, there.sha256) else []
    lines = difflib.unified_diff(
        (old or "").splitlines(), new.splitlines(), file.path if there else "/dev/null", file.path, lineterm=""
    )
    return list(lines)


def _differs(file: File, sha256: str) -> bool:
    return sha256 != file.sha256


def masked(text: str, clear: tuple[str, ...], key: str) -> str:
    """An environment file with a keyed digest in place of each value, but for the variables named in `clear`.

    Two texts that were masked with the same key differ where their values do. What is neither a variable nor
    Warpbeam's own comment is hidden whole.
    """
    return "".join(f"{_masked(line, clear, key)}\n" for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    """Lines, with those that one value in double quotes spans taken as one."""
    begun = ""
    for line in text.removesuffix("\n").split("\n"):
        whole = f"{begun}\n{line}" if begun else line
        match = _VARIABLE.fullmatch(whole)
        if match and match[2].startswith('"') and not _closed(match[2]):
            begun = whole
            continue
        begun = ""
        yield whole
    if begun:
        yield begun


def _closed(value: str) -> bool:
    body = value.removesuffix('"')
    return len(value) > 1 and body != value and (len(body) - len(body.rstrip("\\"))) % 2 == 0


def _masked(line: str, clear: tuple[str, ...], key: str) -> str:
    match = _VARIABLE.fullmatch(line)
    if match is None:
        return line if not line or line.endswith(_OURS) else "(hidden)"
    name, value = match.groups()
    if name in clear:
        return line
    digest = hashlib.sha256(f"{key}\0{name}\0{value}".encode()).hexdigest()[:8]
    return f"{name}=(hidden, {digest})"
