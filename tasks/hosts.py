"""The hosts themselves: which there are, their keys, their reboots."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task


@task(name="list", auto_shortflags=False, help={"json": "print JSON on standard output"})
def list_hosts(c: Any, json: bool = False) -> None:
    """Show the hosts of the environment, and where each is from: a file and a line, or a source of hosts."""
    from warpbeam.cli.session import session
    from warpbeam.inventory.host_rows import host_rows

    here = session(c)
    rows = host_rows(*here.reading)
    if not json:
        rows = [{key: "" if value is None else value for key, value in row.items()} for row in rows]
    here.report.table(rows, as_json=json)


@task(
    auto_shortflags=False,
    help={"yes": "record unknown keys without asking; never replaces a key that has changed"},
)
def trust(c: Any, yes: bool = False) -> None:
    """Show the host keys, and record those that are unknown once you have said yes."""
    from warpbeam.cli.question import ask
    from warpbeam.cli.session import session
    from warpbeam.ssh.trust import trust

    here = session(c)
    inventory = here.inventory

    def confirm(question: str) -> bool:
        missing = "there is no terminal to ask on whether to record these keys"
        return yes or ask(question, missing, "compare the fingerprints, and run it again with --yes")

    trust(inventory.hosts.values(), inventory.ssh, inventory.name, confirm, here.emit)


@task(
    auto_shortflags=False,
    help={"timeout": "how many seconds a host may take until one can log in again (default 300)"},
)
def reboot(c: Any, timeout: int = 300) -> None:
    """Reboot host after host (as admin): each is drained before, and must be healthy before the next."""
    from warpbeam.cli.session import session
    from warpbeam.operate.reboot import reboot

    here = session(c)
    reboot(here.fleet, here.emit, timeout=timeout)


namespace = Collection("hosts", list_hosts, trust, reboot)
