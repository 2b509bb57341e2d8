"""Diffs between a host's files and what setup would write, for people; they hold no secret.

`mask.sh` does on the host what `masked` does here, so that a secret's old value never leaves the host.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from warpbeam.provision.host_state import HostState
from warpbeam.provision.item import File

_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_OURS = "Written by Warpbeam's setup."


def compared(file: File, found: HostState, key: str) -> list[str]:
    """Return a unified diff from the host's file to the file that setup would write; empty when the texts are equal.

    Parameters:
        key: the key that the host used for the digests of hidden values.
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
    """Return an environment file with a keyed digest in place of each value, except the variables named in `clear`.

    Two texts that are masked with the same key differ where their values differ. A line that is neither a variable
    nor Warpbeam's own comment is hidden whole.
    """
    return "".join(f"{_masked(line, clear, key)}\n" for line in _logical_lines(text))


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines; the lines of one value in double quotes count as one."""
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
