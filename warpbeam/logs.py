"""The app's journal, of all hosts at once."""

from __future__ import annotations

from collections.abc import Callable

from warpbeam.error import Failed, Misuse, Problem
from warpbeam.fleet import Fleet
from warpbeam.inventory import Host
from warpbeam.node import converse, logs_input


def show_logs(
    fleet: Fleet,
    show: Callable[[str, bytes], None],
    *,
    follow: bool = False,
    lines: str = "",
    since: str = "",
    grep: str = "",
    slot: str = "",
) -> None:
    """Show journal lines of every app host, as they come.

    Raises:
        Misuse: a value cannot be one.
        Failed: a host's journal cannot be read; the others' was shown.
    """
    if lines and not (lines.isdigit() and len(lines) <= 6):
        raise Misuse(f"--lines {lines}: expected a number of lines")
    count = int(lines) if lines else None if since else 100
    text = logs_input(count, since, grep, slot, follow=follow)
    hosts = list(fleet.inventory.app_hosts)

    def one(host: Host) -> int:
        return converse(fleet, host, "logs", text, lambda piece: show(host.name, piece), follow=follow)

    fleet.jobs = max(fleet.jobs, len(hosts)) if follow else fleet.jobs
    for name, result in fleet.everywhere(hosts, one).items():
        if isinstance(result, Problem):
            raise result
        # journalctl says 1 when a pattern matched nothing.
        if result not in (0, 1):
            raise Failed(f"{name}: the journal could not be read (status {result})")
