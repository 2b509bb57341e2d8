"""How much is taken of what a host says, and how long it may take: nothing that somebody else sends is trusted to end.

A command that breaks a bound is ended, and that is its host's problem alone; the other hosts' go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

MEGABYTE = 1 << 20
# One record, and so an answer: the longest that occurs has the 10,000 files of a release.
LONGEST_RECORD = 4 * MEGABYTE
# All that a phase says on standard output: one that only looks, and one whose programs print at length.
MOST_LOOKED = 64 * MEGABYTE
MOST_DONE = 1024 * MEGABYTE
# What only looks tells a few steps and notes.
MOST_RECORDS = 10_000
# Standard error: of so much the last lines are kept.
MOST_COMPLAINTS = 8 * MEGABYTE
KEPT_COMPLAINTS = 64 * 1024
# The journal of one host, which is kept in a file until those of the others are there.
MOST_JOURNAL = 1024 * MEGABYTE


class Breach(Exception):
    """Somebody said more than is taken; the text says what, to be put after a host's name."""


class Complaints:
    """Standard error: the last of it, and no more than `most` bytes in all."""

    def __init__(self, most: int = MOST_COMPLAINTS, kept: int = KEPT_COMPLAINTS) -> None:
        self._left = Allowance(most, "on standard error")
        self._kept = kept
        self._tail = bytearray()

    def __call__(self, piece: bytes) -> None:
        """Take a piece. Raises: Breach."""
        self._tail += piece[-self._kept :]
        if len(self._tail) > 2 * self._kept:
            del self._tail[: -self._kept]
        self._left.take(len(piece))

    @property
    def text(self) -> str:
        """The last of it."""
        return bytes(self._tail[-self._kept :]).decode("utf-8", "replace")


class Allowance:
    """How many bytes may still come from somewhere."""

    def __init__(self, most: int, where: str) -> None:
        self._most = most
        self._left = most
        self._where = where

    def take(self, count: int) -> None:
        """Count bytes that came. Raises: Breach, when they are too many."""
        self._left -= count
        if self._left < 0:
            raise Breach(f"sent more than {sized(self._most)} {self._where}")


class Deadline:
    """`end` is called when the time is over that `start` began; leaving the context forgets about it.

    Parameters:
        seconds: None: there is no end.
    """

    def __init__(self, seconds: float | None, end: Callable[[], None]) -> None:
        self.seconds = seconds
        self.over = False
        self._end = end
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """From any thread: the time begins."""
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
    """A bound as people read it."""
    return f"{count // MEGABYTE} MB" if count >= MEGABYTE else f"{count // 1024} kB"
