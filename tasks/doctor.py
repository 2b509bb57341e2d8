"""Checks of the hosts that change nothing."""

from __future__ import annotations

import sys
from typing import Any

from invoke import Exit, task


@task(
    auto_shortflags=False,
    help={
        "json": "print JSON on standard output",
        "local": "look at this machine itself, without ssh, as set up for deploy.local",
    },
)
def doctor(c: Any, json: bool = False, local: bool = False) -> None:
    """Look at everything on every host (as admin), change nothing, and say what to mend; exit 5 when something is."""
    from warpbeam.cli.findings import lines
    from warpbeam.cli.screen import print_lines, room_on
    from warpbeam.cli.session import session
    from warpbeam.doctor.doctor import examine, rows
    from warpbeam.doctor.finding import addressed_findings
    from warpbeam.doctor.tools import examine_tools
    from warpbeam.error import AMISS
    from warpbeam.event import Settled
    from warpbeam.version import VERSION

    here = session(c)
    fleet = here.local_fleet if local else here.fleet
    findings = examine(fleet, here.emit)
    findings += examine_tools(fleet, here.project, findings)
    findings = addressed_findings(findings, here.inventory.name)
    wrong = sum(not finding.good for finding in findings)
    if json:
        here.report.table(rows(findings, fleet.inventory), as_json=True)
    else:
        here.report.close()
        labels = {name: host.label for name, host in fleet.inventory.all_hosts.items()}
        print_lines(sys.stdout, *lines(findings, labels, room_on(sys.stdout)))
    if wrong:
        here.emit(Settled("", f"{wrong} of {len(findings)} checks found something to mend", good=False))
        raise Exit(code=AMISS)
    here.emit(Settled("", f"all is well: {len(findings)} checks (Warpbeam {VERSION})"))


TASKS = (doctor,)
