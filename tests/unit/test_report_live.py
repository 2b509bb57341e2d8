"""The live display of a terminal, told from many threads at once."""

from __future__ import annotations

import errno
import io
import sys
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from warpbeam.cli.report import Report
from warpbeam.event import Note, Step


def test_hosts_that_tell_at_once_while_the_screen_is_redrawn_never_wait_for_each_other() -> None:
    report = Report()
    report.console = Console(file=io.StringIO(), force_terminal=True, width=80)
    until = time.monotonic() + 3

    def work(host: str) -> None:
        while time.monotonic() < until:
            report.tell(Step(host, "start"))
            report.tell(Note(host, "something"))

    threads = [threading.Thread(target=work, args=(f"web{n}",), daemon=True) for n in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    finally:
        sys.setswitchinterval(interval)

    assert not any(thread.is_alive() for thread in threads)
    report.close()


def test_an_interrupt_that_comes_as_the_terminal_closes_is_not_taken_for_its_closing() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    class Interrupted(Console):
        """The signal comes while a line is made; rich writes what it has of it all the same, on the way out."""

        def render(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

    report = Report()
    report.console = Interrupted(file=Closed(), force_terminal=True, width=80)

    with pytest.raises(KeyboardInterrupt):
        report.tell(Note("web1", "something"))
    # Nobody is there; that is no trouble of the work.
    report.tell(Note("web1", "something else"))


def test_a_terminal_that_closed_is_no_second_interrupt_of_what_tidies_up_after_the_first() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    report = Report()
    report.console = Console(file=Closed(), force_terminal=True, width=80)

    with pytest.raises(ValueError, match="tidied"):
        try:
            raise KeyboardInterrupt
        finally:
            report.tell(Note("web1", "tidying"))
            raise ValueError("tidied")
