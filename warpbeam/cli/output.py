"""Output of commands on hosts, passed on to standard output or standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from threading import Lock

from warpbeam.cli.screen import print_lines, room_on, unpadded

# Bytes of a line that are kept until its end comes.
LONGEST_LINE = 1 << 18


class Output:
    """A sink for pieces of hosts' output, from any thread, which passes on whole lines, with a host prefix if asked.

    A terminal gets lines without characters that steer it. A program gets every byte unchanged (at once where there is
    no prefix).

    Parameters:
        labels: what to show in place of the name of a host; the longest decides the width of all.
        exact: False: a program gets the same as a terminal, for a log of many hosts, which is no host's data.
    """

    def __init__(self, *, prefixed: bool, error: bool, labels: Mapping[str, str], exact: bool = True) -> None:
        self._prefixed = prefixed
        self._stream = sys.stderr if error else sys.stdout
        self._exact = exact and not self._stream.isatty()
        self._rest: dict[str, bytes] = {}
        self._guard = Lock()
        self._labels = labels
        self._width = max(map(len, self._labels.values()), default=0)

    def __call__(self, host: str, piece: bytes) -> None:
        with self._guard:
            if self._exact and not self._prefixed:
                self._write(piece)
                return
            self._width = max(self._width, len(self._labels.get(host, host)))
            *lines, self._rest[host] = (self._rest.get(host, b"") + piece).split(b"\n")
            for line in lines:
                self._print(host, line)
            if len(self._rest[host]) > LONGEST_LINE:
                # A line without an end is printed in parts, so that it does not fill the memory.
                self._rest[host] = self._broken(host, self._rest[host])

    def flush(self) -> None:
        """Print lines that have no end."""
        with self._guard:
            for host, rest in self._rest.items():
                if rest:
                    self._print(host, rest)
            self._rest.clear()
            with contextlib.suppress(OSError):
                self._stream.flush()

    def _broken(self, host: str, rest: bytes) -> bytes:
        """Print an unfinished line as a line; return the bytes of a last character that is not complete yet."""
        cut = len(rest)
        while cut > len(rest) - 4 and rest[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        cut -= rest[cut - 1] >= 0xC0
        self._print(host, rest[:cut])
        return rest[cut:]

    def _print(self, host: str, line: bytes) -> None:
        prefix = f"{self._labels.get(host, host).ljust(self._width)} | " if self._prefixed else ""
        if self._exact:
            self._write(prefix.encode() + line + b"\n")
            return
        text = prefix + line.decode("utf-8", "replace")
        print_lines(self._stream, unpadded(text, room_on(self._stream)) if self._prefixed else text)

    def _write(self, piece: bytes) -> None:
        self._stream.flush()
        self._stream.buffer.write(piece)
        self._stream.buffer.flush()
