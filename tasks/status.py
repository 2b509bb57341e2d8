"""The state of the app on its hosts."""

from __future__ import annotations

from typing import Any

from invoke import Exit, task

from . import rolling


@task(auto_shortflags=False, help={"json": "print JSON on standard output", "jobs": rolling.JOBS})
def status(c: Any, json: bool = False, jobs: str = "") -> None:
    """Show what is running: release, slot, pid, since when, memory, restarts, health."""
    from warpbeam.cli.session import session
    from warpbeam.event import Warn
    from warpbeam.operate.status import differing, foreign, judged, states
    from warpbeam.operate.status_rows import status_rows

    here = session(c)
    here.fleet.set_jobs(jobs)
    with here.report.asking():
        found = states(here.fleet, here.emit)
    here.report.table(status_rows(here.fleet.inventory, found), as_json=json)
    for text in (foreign(here.inventory, found), differing(found)):
        if text:
            here.emit(Warn("", text))
    if code := judged(found):
        raise Exit(code=code)


TASKS = (status,)
