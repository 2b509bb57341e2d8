"""The firewall: the redirect of public ports, and the filter for everything else that reaches the hosts."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task


@task(auto_shortflags=False)
def apply(c: Any) -> None:
    """Lead public ports to the live slot, and filter as the inventory says unless that cuts ssh (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.network.firewall import firewall

    here = session(c)
    firewall(here.fleet, "apply", here.emit)


@task(auto_shortflags=False, help={"json": "print JSON on standard output"})
def status(c: Any, json: bool = False) -> None:
    """Show where the public ports lead on every host, and what filters there (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.fleet.work import gravest_problem
    from warpbeam.network.firewall import tables
    from warpbeam.network.firewall_rows import table_rows

    here = session(c)
    with here.report.asking():
        found = tables(here.fleet, here.emit)
    here.report.table(table_rows(here.fleet, found), as_json=json)
    # A host that does not answer is an error, but the table of the others is shown first.
    if (problem := gravest_problem(found)) is not None:
        raise problem


@task(auto_shortflags=False, help={"check": "only say how many connections it would cut"})
def clear(c: Any, check: bool = False) -> None:
    """Remove the redirect and the filter; `firewall.apply` brings them back, `setup` the redirect (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.network.firewall import firewall

    here = session(c)
    firewall(here.fleet, "look" if check else "clear", here.emit)


namespace = Collection("firewall", apply, status, clear)
