"""A command of the user's own on every host: `fab ENV -- uptime`."""

from __future__ import annotations

from invoke import Exit

from warpbeam.cli.report import Report
from warpbeam.event import Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import gravest_problem
from warpbeam.inventory.schema import Host


def run_command(fleet: Fleet, command: str, report: Report) -> None:
    """Run `command` on every chosen host at once, as the deploy user, and show its output by host.

    Raises:
        invoke.Exit: the command failed on a host; the highest exit status.
        Problem: a host cannot be reached.
    """
    hosts = list(fleet.inventory.hosts.values())
    labels = {host.name: host.label for host in hosts}
    show = report.output(prefixed=len(hosts) > 1, labels=labels)
    complain = report.output(prefixed=len(hosts) > 1, error=True, labels=labels)

    def one(host: Host) -> int:
        # The login shell there runs the user's words unquoted, like `ssh HOST COMMAND`.
        return fleet.shell(host).execute(
            command, (), lambda piece: show(host.name, piece), lambda piece: complain(host.name, piece)
        )

    results = fleet.everywhere(hosts, one)
    report.flush()
    if gravest := gravest_problem(results):
        raise gravest
    if len(hosts) > 1:
        for name, status in results.items():
            if status:
                report.emit(Warn(name, f"it ended with status {status}"))
    worst = max(status for status in results.values() if isinstance(status, int))
    if worst:
        raise Exit(code=worst)
