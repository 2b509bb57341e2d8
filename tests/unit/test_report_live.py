"""The live display of a terminal, told from many threads at once."""

from __future__ import annotations

import io
import sys
import threading
import time

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
