"""Ctrl-C, TERM and HUP: the first ends a command in order, a second Ctrl-C says what that waits for, a third leaves."""

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

# What a live display hides (terminfo: cnorm).
SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """TERM or HUP, taken as Ctrl-C is."""


@contextmanager
def interruptible(waits_for: Callable[[], Mapping[str, str]], say: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, a signal ends the command: in order, and at the third at once, whatever is stuck.

    Parameters:
        waits_for: what runs where, for the second; called in the middle of anything, so it takes no lock.
        say: shows that, beside whatever is on the screen; called in a thread of its own, so it may take locks.

    HUP counts once: it comes from the terminal and from its shell, and nobody presses it.
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

    # `nohup fab …` asked for HUP to be ignored, `fab … &` of a script for INT.
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, hear) for number in wanted if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(terminal: list[Any] | None = None) -> NoReturn:
    """End this process now: no thread is waited for, nothing is tidied up but the terminal."""
    if terminal is not None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, terminal)
    room = room_on(sys.stderr)
    text = "left at once: `status` shows what runs; a deploy lock that was held ends by itself within two minutes"
    _say((SHOW_CURSOR + "\r\n" if room else "") + folded(text, room) + "\n")
    os._exit(INTERRUPTED)


def _terminal() -> list[Any] | None:
    """How the terminal of standard input is set, where it is one."""
    with contextlib.suppress(termios.error):
        return termios.tcgetattr(0)
    return None


def _say(text: str) -> None:
    """Write to standard error, unless that would block. Not `print`: what was interrupted may have been printing."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if not poll.poll(0):
        return
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def hush_when_unread() -> None:
    """Flush both streams; where nobody reads one (`| head`, a terminal that was closed), keep Python from saying so.

    As the documentation of Python's signal module has it (Note on SIGPIPE).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
