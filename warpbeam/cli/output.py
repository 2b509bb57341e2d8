"""What commands on hosts print, passed on: standard output, or standard error."""

from __future__ import annotations

import contextlib
import sys
from threading import Lock

from warpbeam.cli.screen import print_lines, room_on, unpadded

# Bytes of a line that is waited for whole.
LONGEST_LINE = 1 << 18


class Output:
    """Takes pieces of a host's output from any thread and passes them on, in whole lines, prefixed where asked.

    To a terminal go lines that steer nothing. A program gets every byte as it came (and without a prefix at once).

    Parameters:
        width: the length of the longest host's name.
        exact: false: a program gets what a terminal would, since it is a log of many hosts and not one's data.
    """

    def __init__(self, *, prefixed: bool, error: bool, width: int = 0, exact: bool = True) -> None:
        self._prefixed = prefixed
        self._stream = sys.stderr if error else sys.stdout
        self._exact = exact and not self._stream.isatty()
        self._rest: dict[str, bytes] = {}
        self._guard = Lock()
        self._width = width

    def __call__(self, host: str, piece: bytes) -> None:
        with self._guard:
            if self._exact and not self._prefixed:
                self._write(piece)
                return
            self._width = max(self._width, len(host))
            *lines, self._rest[host] = (self._rest.get(host, b"") + piece).split(b"\n")
            for line in lines:
                self._print(host, line)
            if len(self._rest[host]) > LONGEST_LINE:
                # One without an end is shown as it comes: nothing keeps it.
                self._rest[host] = self._broken(host, self._rest[host])

    def flush(self) -> None:
        """Print what had no line end."""
        with self._guard:
            for host, rest in self._rest.items():
                if rest:
                    self._print(host, rest)
            self._rest.clear()
            with contextlib.suppress(OSError):
                self._stream.flush()

    def _broken(self, host: str, rest: bytes) -> bytes:
        """Print what has come of a line as a line; return the beginning of a character that is not whole yet."""
        cut = len(rest)
        while cut > len(rest) - 4 and rest[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        cut -= rest[cut - 1] >= 0xC0
        self._print(host, rest[:cut])
        return rest[cut:]

    def _print(self, host: str, line: bytes) -> None:
        prefix = f"{host.ljust(self._width)} | " if self._prefixed else ""
        if self._exact:
            self._write(prefix.encode() + line + b"\n")
            return
        text = prefix + line.decode("utf-8", "replace")
        print_lines(self._stream, unpadded(text, room_on(self._stream)) if self._prefixed else text)

    def _write(self, piece: bytes) -> None:
        self._stream.flush()
        self._stream.buffer.write(piece)
        self._stream.buffer.flush()
