"""The journal of the app."""

from __future__ import annotations

from typing import Any

from invoke import Exit, task

from .short_flags import ShortFlags


@task(
    klass=ShortFlags,
    short={"follow": "f", "lines": "n"},
    help={
        "follow": "go on showing new lines, until Ctrl-C",
        "lines": "how many of the last lines of each host (default 100, with --since all)",
        "since": "only lines since then, as journalctl takes it: `10 min ago`, `2026-11-23 12:00`",
        "grep": "only lines that match this pattern (PCRE)",
        "slot": "only this slot's, a or b",
    },
)
def logs(c: Any, follow: bool = False, lines: str = "", since: str = "", grep: str = "", slot: str = "") -> None:
    """Show the app's journal of every host, each line with its host."""
    from warpbeam.cli.session import session
    from warpbeam.error import INTERRUPTED
    from warpbeam.operate.logs import parse_query, show_logs

    here = session(c)
    query = parse_query(lines=lines, since=since, grep=grep, slot=slot, follow=follow)
    labels = {host.name: host.label for host in here.inventory.app_hosts}
    try:
        show_logs(here.fleet, query, here.report.output(prefixed=True, labels=labels, exact=False), here.emit)
    except KeyboardInterrupt:
        if not follow:
            raise
        # Ctrl-C is the usual end of `--follow`, so print no message.
        raise Exit(code=INTERRUPTED) from None


TASKS = (logs,)
