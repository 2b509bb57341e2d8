"""Shells, which run commands: a host over SSH (`warpbeam.ssh.connection`) or this machine (`warpbeam.host.local`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

OnBytes = Callable[[bytes], None]

# Seconds in which an interrupted command may undo what it began, before its channel or process group is cut.
GRACE = 5.0


class Shell(Protocol):
    """One identity on one machine. `name` is the host's inventory name, or empty for this machine."""

    @property
    def name(self) -> str: ...

    def open(self) -> None:
        """Connect now rather than at the first `execute`; run nothing. Raises: Refused, where that fails."""

    @property
    def busy(self) -> bool:
        """Whether a command runs there, or a connection is being made; takes no lock."""

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """Run a constant `command`, feed it `chunks` and then end of file, and return its exit status.

        `on_stdout` and `on_stderr` receive pieces of the output as they arrive, in the calling thread. A process
        that signal N ended gives 128 + N. A process may end before it has read everything. When a callback or
        `chunks` raises, the command is ended and the exception propagates.

        Raises:
            Refused: the machine cannot be reached, or the command was not started: nothing ran.
            Lost: the connection ended before the exit status came: the outcome is unknown.
        """

    def interrupt(self) -> None:
        """End, from any thread, the commands of `execute` (SIGTERM, then their channel is cut); idempotent.

        The interrupted `execute` returns or raises within `GRACE` seconds; a later one is not affected.
        """

    def close(self) -> None:
        """End the connection; a later `execute` opens a new one."""
