"""Records: the texts on a script's standard output that are for us (RFC 7464: RS, JSON, LF).

Progress records come first, the ending last. Other output of a host (a chatty .bashrc) is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from warpbeam.bound import LONGEST_RECORD, Breach, sized
from warpbeam.event import Emit, Line, Note, Progress, Step, Warn
from warpbeam.host.answer import LARGEST, MESSAGE

RECORD_START = b"\x1e"


class Records:
    """A reader that finds the records in pieces of standard output."""

    def __init__(self, longest: int = LONGEST_RECORD) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Yield the records that `piece` completes. Raises: Breach, when one is longer than allowed."""
        if not self._rest and RECORD_START not in piece:
            return  # no record, however long
        # Search each piece once: a line in a million pieces then costs no more than a line in one.
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        if self._rest or RECORD_START in rest:
            self._rest += rest
        if len(self._rest) > self._longest:
            # Only the text after the last RS can be a record.
            del self._rest[: self._rest.rfind(RECORD_START)]
        if len(self._rest) > self._longest or any(len(line) > self._longest and RECORD_START in line for line in lines):
            raise Breach(f"sent a record of more than {sized(self._longest)}")
        for line in lines:
            _, mark, text = line.rpartition(RECORD_START)
            if not mark:
                continue
            try:
                record = msgspec.json.decode(text.decode("utf-8", "replace"))
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def emit_progress(record: dict[str, Any], host: str, emit: Emit) -> bool:
    """Emit a progress record; return False when the record is the script's ending."""
    match record:
        case {"step": str(name)}:
            emit(Step(host, bounded(name)))
        case {"progress": str(name), "done": int(done), "total": int(total)} if 0 <= done <= total <= LARGEST:
            emit(Progress(host, bounded(name), done, total))
        case {"line": str(text)}:
            emit(Line(host, bounded(text)))
        case {"note": str(text)}:
            emit(Note(host, bounded(text)))
        case {"warn": str(text)}:
            emit(Warn(host, bounded(text)))
        case _:
            return False
    return True


def bounded(text: str) -> str:
    """Return `text` cut to `MESSAGE` characters. A NUL, which no script takes as a parameter, becomes a blank."""
    return text.replace("\0", " ") if len(text) <= MESSAGE else text[:MESSAGE].replace("\0", " ") + "…"
