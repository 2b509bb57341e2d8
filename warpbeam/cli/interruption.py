"""Ctrl-C, TERM and HUP: the first ends a command in order, the second shows what that waits for, the third leaves."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from warpbeam.cli.screen import folded, room_on
from warpbeam.error import INTERRUPTED

# Shows the cursor, which a live display hides (terminfo: cnorm).
SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal, INT, TERM or HUP, raised like Ctrl-C."""


@contextmanager
def interruptible(waits_for: Callable[[], Mapping[str, str]], say: Callable[[str], None]) -> Iterator[None]:
    """End the context's body at a signal: in order at the first, at once at the third, even if something is stuck.

    Parameters:
        waits_for: returns the busy hosts and their work, for the second; it may run at any point, so it takes no lock.
        say: shows that text, next to the live display; it runs in a thread of its own, so it may take locks.

    HUP counts only as the first signal: the terminal and its shell both send it, and nobody presses it.
    """
    signals: list[int] = []
    terminal = _terminal()

    def hear(signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGHUP and signals:
            return
        signals.append(signum)
        if len(signals) == 1:
            raise Interrupted(signal.Signals(signum).name)
        if len(signals) > 2:
            leave(terminal)
        named = [f"{name or 'this machine'}{f' ({what})' if what else ''}" for name, what in waits_for().items()]
        text = (
            f"still ending in order: waiting for {', '.join(named) or 'connections to close'};"
            " once more leaves at once, and what runs on a host goes on there"
        )
        threading.Thread(target=say, args=(text,), daemon=True).start()

    # Keep ignored signals ignored: HUP in `nohup fab …`, INT in a script's `fab … &`.
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, hear) for number in wanted if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(terminal: list[Any] | None = None) -> NoReturn:
    """End this process now: wait for no thread, and restore only the terminal."""
    if terminal is not None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, terminal)
    room = room_on(sys.stderr)
    text = "left at once: `status` shows what runs; a deploy lock that was held ends by itself within two minutes"
    _say((SHOW_CURSOR + "\r\n" if room else "") + folded(text, room) + "\n")
    os._exit(INTERRUPTED)


def _terminal() -> list[Any] | None:
    """Return the settings of the terminal on standard input; None where it is no terminal."""
    with contextlib.suppress(termios.error):
        return termios.tcgetattr(0)
    return None


def _say(text: str) -> None:
    """Write to standard error, unless that would block. Not `print`: the signal may have interrupted a `print`."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if not poll.poll(0):
        return
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def hush_when_unread() -> None:
    """Flush both streams; where nobody reads one (`| head`, a closed terminal), keep Python from printing an error.

    The documentation of Python's signal module recommends this (Note on SIGPIPE).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
