"""The live table of a terminal: a row for each host at work, redrawn in place, and gone at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from warpbeam.cli.transfers import Transfers
from warpbeam.event import Progress
from warpbeam.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table

# Seconds between two drawings of a host's transfer.
PERIOD = 0.1


class LiveTable:
    """The rows, and their drawing, which begins with the first `draw` and ends with `stop`.

    Its caller holds a lock around every call. rich calls `_table` from a thread of its own, without that lock.

    Parameters:
        waits_for: returns the busy hosts and their work; it is called at any time, so it takes no lock.
    """

    def __init__(self, waits_for: Callable[[], Mapping[str, str]]) -> None:
        self._waits_for = waits_for
        self._live: Live | None = None
        self._spinner: Spinner | None = None
        # The time at which a question to the hosts began; 0: no question is open.
        self.asking = 0.0
        self._now: dict[str, str] = {}
        self._began: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._transfers = Transfers()

    def step(self, host: str, name: str) -> None:
        """Record that a host, or for an empty name this machine, begins with a step."""
        if host:
            # A host's step means that a step on this machine, a hook or a build, has ended.
            self._now.pop("", None)
        self._began[host] = time.monotonic()
        self._now[host] = name

    def progress(self, event: Progress) -> bool:
        """Record the progress of a transfer; return whether it is time to draw it."""
        now = time.monotonic()
        if self._transfers.is_shown(event, now):
            self._began[event.host] = now
        elif self._last.get(event.host, 0) + PERIOD > now and event.done < event.total:
            return False
        self._last[event.host] = now
        self._now[event.host] = self._transfers.of(event.host, now)
        return True

    def settled(self, host: str) -> None:
        """Record that the work on a host has ended."""
        self._now.pop(host, None)

    def draw(self, terminal: Console) -> None:
        """Draw the table as it is now; from here on it is drawn anew several times a second."""
        if self._live is None:
            # Imported only here: the import takes longer than all other work for a deploy's log.
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("line")
            self._live = Live(console=terminal, get_renderable=self._table, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.refresh()

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        # A copy, not the lock: rich calls this with its own lock held, for which `draw` waits while it has ours.
        shown = self._now.copy()
        silent = {host: what or "connect" for host, what in self._waits_for().items() if host not in shown}
        for host, what in (shown | silent).items():
            seconds = time.monotonic() - self._began.setdefault(host, self.asking or time.monotonic())
            table.add_row(self._spinner, host or "here", visible(what), f"{seconds:.0f} s" if seconds > 1 else "")
        if together := self._transfers.together(time.monotonic()):
            table.add_row("", "all", visible(together), "")
        return table

    def forget(self) -> Live | None:
        """Empty the table; return its drawing, if there is one, for the caller to stop without the lock."""
        live, self._live = self._live, None
        self._now.clear()
        return live


def stop(live: Live | None) -> None:
    """Remove a drawing from the screen."""
    if live is not None:
        with contextlib.suppress(OSError):
            live.stop()
