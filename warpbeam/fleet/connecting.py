"""The connections of a rollout, opened while other work goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from queue import SimpleQueue

from warpbeam.error import Problem
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection

Opened = dict[str, Problem | None]


@contextlib.contextmanager
def connecting(fleet: Fleet, selection: HostSelection) -> Iterator[None]:
    """Open the connections to the app hosts of `selection` while the context's body runs; at its end all are open.

    Raises: Refused, where a host cannot be reached; this takes precedence over a problem of the body.
    """
    hosts = selection.hosts(fleet.inventory)
    opened: SimpleQueue[Opened] = SimpleQueue()
    opening = threading.Thread(
        target=lambda: opened.put(fleet.everywhere(hosts, lambda host: fleet.shell(host).open())),
        name="reach",
        daemon=True,
    )
    opening.start()
    try:
        try:
            yield
        except Problem:
            selection.check(_result(opening, opened))
            raise
        found = _result(opening, opened)
    except KeyboardInterrupt:
        fleet.interrupt()
        raise
    selection.check(found)


def _result(thread: threading.Thread, opened: SimpleQueue[Opened]) -> Opened:
    """Wait for the thread's end in short waits, so that Python handles signals meanwhile; return its result."""
    while thread.is_alive():
        thread.join(0.5)
    # Empty where a fault ended the thread, which Python has reported.
    return {} if opened.empty() else opened.get()
