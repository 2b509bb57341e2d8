"""The live display of a terminal, with events from many threads at once."""

from __future__ import annotations

import errno
import io
import re
import sys
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from tests.background import eventually
from warpbeam.cli.report import Report
from warpbeam.event import Note, Step


def test_hosts_that_report_during_a_redraw_of_the_screen_never_wait_for_each_other() -> None:
    report = Report()
    report.console = Console(file=io.StringIO(), force_terminal=True, width=80)
    until = time.monotonic() + 3

    def work(host: str) -> None:
        while time.monotonic() < until:
            report.emit(Step(host, "start"))
            report.emit(Note(host, "something"))

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
        """A console that a signal interrupts while it renders a line; rich still writes the part that it has."""

        def render(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

    report = Report()
    report.console = Interrupted(file=Closed(), force_terminal=True, width=80)

    with pytest.raises(KeyboardInterrupt):
        report.emit(Note("web1", "something"))
    # The terminal is closed; the work must go on without an error.
    report.emit(Note("web1", "something else"))


def test_a_terminal_that_closed_does_not_interrupt_the_work_after_an_interrupt() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    report = Report()
    report.console = Console(file=Closed(), force_terminal=True, width=80)

    with pytest.raises(ValueError, match="tidied"):
        try:
            raise KeyboardInterrupt
        finally:
            report.emit(Note("web1", "tidying"))
            raise ValueError("tidied")


def test_who_watches_a_question_to_the_hosts_soon_sees_whom_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warpbeam.cli.report.PATIENCE", 0.1)
    screen = io.StringIO()
    waits_for = {"web2": "status", "web3": ""}
    report = Report(waits_for=lambda: waits_for)
    report.console = Console(file=screen, force_terminal=True, width=80)

    with report.asking():
        pass
    time.sleep(0.3)
    assert screen.getvalue() == ""

    with report.asking():
        assert eventually(lambda: bool(re.search(r"web2 +status.*web3 +connect", screen.getvalue(), re.DOTALL)), 10)
        del waits_for["web2"]
        # The last drawing has only a line of web3.
        assert eventually(lambda: "web3" in screen.getvalue()[-60:] and "web2" not in screen.getvalue()[-60:], 10)
    ended = len(screen.getvalue())
    time.sleep(0.3)
    assert len(screen.getvalue()) == ended


def test_where_nobody_watches_a_question_to_the_hosts_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(waits_for=lambda: {"web2": "status"})

    with report.asking():
        time.sleep(1.5)
    assert capsys.readouterr() == ("", "")
