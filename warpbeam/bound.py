"""Bounds for the output of a host and for the time that it takes: output of others may never end.

A command that exceeds a bound is ended. This is a problem of its host alone; the commands of other hosts go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

MEGABYTE = 1 << 20
# Bytes of one record, and so of an answer: the longest one that occurs has the 10,000 files of a release.
LONGEST_RECORD = 4 * MEGABYTE
# Bytes of a phase's standard output: of one that only looks, and of one whose programs print much.
MOST_LOOKED = 64 * MEGABYTE
MOST_DONE = 1024 * MEGABYTE
# Records of a phase that only looks; it needs a few steps and notes.
MOST_RECORDS = 10_000
# Bytes of standard error that may come, and how many of the last ones are kept.
MOST_COMPLAINTS = 8 * MEGABYTE
KEPT_COMPLAINTS = 64 * 1024
# Bytes of the journal of one host, which a file keeps until the journals of the other hosts have come.
MOST_JOURNAL = 1024 * MEGABYTE


class Breach(Exception):
    """A bound was exceeded; the text says which, to be put after a host's name."""


class Complaints:
    """Standard error of a command: at most `most` bytes in all, of which the last `kept` are kept."""

    def __init__(self, most: int = MOST_COMPLAINTS, kept: int = KEPT_COMPLAINTS) -> None:
        self._left = Allowance(most, "on standard error")
        self._kept = kept
        self._tail = bytearray()

    def __call__(self, piece: bytes) -> None:
        """Take a piece. Raises: Breach, when more than `most` bytes have come."""
        self._tail += piece[-self._kept :]
        if len(self._tail) > 2 * self._kept:
            del self._tail[: -self._kept]
        self._left.take(len(piece))

    @property
    def text(self) -> str:
        """The bytes that are kept, as text."""
        return bytes(self._tail[-self._kept :]).decode("utf-8", "replace")


class Allowance:
    """The number of bytes that a source may still send."""

    def __init__(self, most: int, where: str) -> None:
        self._most = most
        self._left = most
        self._where = where

    def take(self, count: int) -> None:
        """Count bytes that have come. Raises: Breach, when they are too many."""
        self._left -= count
        if self._left < 0:
            raise Breach(f"sent more than {sized(self._most)} {self._where}")


class Deadline:
    """A timer that calls `end` some time after `start`; leaving the context stops it.

    Parameters:
        seconds: the time; None: `end` is never called.
    """

    def __init__(self, seconds: float | None, end: Callable[[], None]) -> None:
        self.seconds = seconds
        self.over = False
        self._end = end
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Start the timer, from any thread."""
        if self.seconds is None:
            return
        self._timer = threading.Timer(self.seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        self.over = True
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()


def sized(count: int) -> str:
    """Return a bound for people, such as `4 MB`."""
    return f"{count // MEGABYTE} MB" if count >= MEGABYTE else f"{count // 1024} kB"
