"""What commands on hosts print, passed on: standard output, or standard error, in whole lines."""

from __future__ import annotations

import contextlib
import sys
from threading import Lock


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

    def _print(self, host: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._stream.write(f"{host.ljust(self._width)} | {text}\n" if self._prefixed else f"{text}\n")
