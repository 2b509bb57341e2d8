"""Where commands run: a host over SSH (`warpbeam.ssh.connection`) or this machine (`warpbeam.host.local`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

OnBytes = Callable[[bytes], None]

# How long an interrupted command may take to undo what it began, before its channel or process group is cut.
GRACE = 5.0


class Shell(Protocol):
    """One identity on one machine. `name` is the host's inventory name, or empty for this machine."""

    @property
    def name(self) -> str: ...

    def open(self) -> None:
        """Connect now, where `execute` would later; nothing runs. Raises: Refused, where that cannot be."""

    @property
    def busy(self) -> bool:
        """Whether something runs there, or the machine is being connected to; takes no lock."""

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """Run a constant `command`, feed it `chunks` and then end of file, and return its exit status.

        `heard` gets pieces of standard output and `complained` of standard error as they arrive, in the
        calling thread. A process that signal N ended gives 128 + N. A process may end before it has read
        everything. When a callback or `chunks` raises, the command is ended and the exception goes on.

        Raises:
            Refused: the machine cannot be reached, or the command was not started: nothing ran.
            Lost: the connection ended before the exit status came: what ran, and how far, is unknown.
        """

    def interrupt(self) -> None:
        """From any thread: end what `execute` runs (SIGTERM, then its channel is cut); idempotent.

        The interrupted `execute` returns or raises within `GRACE` seconds; a later one is not affected.
        """

    def close(self) -> None:
        """End the connection. A later `execute` opens it anew."""
