"""What commands on hosts print, passed on: standard output, or standard error, in whole lines."""

from __future__ import annotations

import contextlib
import sys
from threading import Lock

# Bytes of a line that is waited for whole.
LONGEST_LINE = 1 << 18


class Output:
    """Takes pieces of a host's output from any thread and prints whole lines, prefixed by the host where asked."""

    def __init__(self, *, prefixed: bool, error: bool, width: int = 0) -> None:
        self._prefixed = prefixed
        self._stream = sys.stderr if error else sys.stdout
        self._rest: dict[str, bytes] = {}
        self._guard = Lock()
        self._width = width

    def __call__(self, host: str, piece: bytes) -> None:
        with self._guard:
            self._width = max(self._width, len(host))
            *lines, self._rest[host] = (self._rest.get(host, b"") + piece).split(b"\n")
            for line in lines:
                self._print(host, line)
            if len(self._rest[host]) > LONGEST_LINE:
                # One without an end is shown as it comes: nothing keeps it.
                lines = [self._rest[host]]
                self._rest[host] = self._shown(host, lines[0])
            if lines:
                self._stream.flush()

    def flush(self) -> None:
        """Print what had no line end."""
        with self._guard:
            for host, rest in self._rest.items():
                if rest:
                    self._print(host, rest)
            self._rest.clear()
            with contextlib.suppress(OSError):
                self._stream.flush()

    def _shown(self, host: str, rest: bytes) -> bytes:
        """Show what has come of a line; returns the beginning of a character that is not whole yet."""
        cut = len(rest)
        while cut > len(rest) - 4 and rest[cut - 1] & 0xC0 == 0x80:
            cut -= 1
        cut -= rest[cut - 1] >= 0xC0
        if self._prefixed:
            self._print(host, rest[:cut])
        else:
            self._stream.write(rest[:cut].decode("utf-8", "replace"))
        return rest[cut:]

    def _print(self, host: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._stream.write(f"{host.ljust(self._width)} | {text}\n" if self._prefixed else f"{text}\n")
