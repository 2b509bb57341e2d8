"""The app's secrets: write them to the hosts, and compare them there."""

from __future__ import annotations

from typing import Any

from invoke import Collection, Exit, task

from . import rolling


@task(
    auto_shortflags=False,
    help={"restart": "give hosts whose app runs with earlier secrets a new instance, host after host"},
)
def push(c: Any, restart: bool = False) -> None:
    """Fetch the secrets of the inventory and write them on every app host (as admin)."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.lock import check_free
    from warpbeam.deploy.restart import restart_changed
    from warpbeam.provision.secret_file import push, warn_stale

    here = session(c)
    if restart:
        # Before secrets are written that a restart could not follow.
        check_free(here.fleet)
    stale = push(here.fleet, here.emit)
    if not restart:
        warn_stale(here.fleet, stale, here.emit)
    elif stale:
        policy = rolling.policy_of(here.fleet, "", "", "")
        restart_changed(here.fleet, stale, "the new secrets are written", policy, here.emit)


@task(
    name="list",
    auto_shortflags=False,
    help={
        "fetch": "fetch the values here too, and say whether hosts have these",
        "json": "print JSON on standard output",
    },
)
def show(c: Any, fetch: bool = False, json: bool = False) -> None:
    """List the secrets by name, and whether all hosts have the same (as admin); exit 5 when they do not."""
    from warpbeam.cli.session import session
    from warpbeam.error import AMISS
    from warpbeam.event import Settled
    from warpbeam.provision.secret_file import compare

    here = session(c)
    with here.report.asking():
        rows = compare(here.fleet, here.emit, fetch=fetch)
    here.report.table(rows, as_json=json)
    if not rows:
        here.emit(Settled("", "there are no secrets, neither in the inventory nor on a host"))
    if any("problem" in row for row in rows):
        raise Exit(code=AMISS)


namespace = Collection("secrets", push, show)
