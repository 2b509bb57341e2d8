"""The firewall redirect."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task


@task(auto_shortflags=False)
def apply(c: Any) -> None:
    """Lead the public port to the live slot, now and at every boot (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.running.firewall import firewall

    here = session(c)
    firewall(here.fleet, "apply", here.tell)


@task(auto_shortflags=False, help={"json": "print JSON on standard output"})
def status(c: Any, json: bool = False) -> None:
    """Show where the public port leads on every host (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.running.firewall import firewall, table_rows

    here = session(c)
    here.report.table(table_rows(here.fleet, firewall(here.fleet, "status", here.tell)), as_json=json)


@task(auto_shortflags=False)
def clear(c: Any) -> None:
    """Remove the redirect; `firewall.apply` or `setup` brings it back (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.running.firewall import firewall

    here = session(c)
    firewall(here.fleet, "clear", here.tell)


namespace = Collection("firewall", apply, status, clear)
