"""Setup of hosts."""

from __future__ import annotations

from typing import Any

from invoke import Exit, task

from . import rolling


@task(
    name="setup",
    auto_shortflags=False,
    help={
        "local": "set up this machine itself, without ssh, for deploy.local",
        "check": "only tell what would change; exit 5 when something would",
        "diff": "show how files differ, secrets masked",
        "restart": "restart the app, host after host, where what changed needs it (default: only say so)",
        "take-over": "make hosts ours that another environment has set up; it cannot deploy to them any more",
        "jobs": rolling.JOBS,
        "rotate-cookie": "give every host a new Erlang cookie; restart the app afterwards",
    },
)
def set_up_hosts(
    c: Any,
    check: bool = False,
    diff: bool = False,
    restart: bool = False,
    rotate_cookie: bool = False,
    local: bool = False,
    take_over: bool = False,
    jobs: str = "",
) -> None:
    """Make the hosts ready, as admin: users, directories, packages, secrets, units, privileged helper, firewall."""
    from warpbeam.cli.session import session
    from warpbeam.error import AMISS
    from warpbeam.event import Settled
    from warpbeam.provision.setup import set_up

    here = session(c)
    fleet = here.local_fleet if local else here.fleet
    fleet.set_jobs(jobs)
    outcome = set_up(
        fleet, here.emit, rotate_cookie=rotate_cookie, dry=check, show=diff, restart=restart, take_over=take_over
    )
    again = restart and bool(outcome.restart)
    if not outcome.changed and not again:
        here.emit(Settled("", "nothing to change: every host is as the inventory says"))
    elif check:
        raise Exit(code=AMISS)
    elif again:
        from warpbeam.deploy.restart import restart_changed

        policy = rolling.policy_of(fleet, "", "", "")
        restart_changed(fleet, outcome.restart, "setup is done", policy, here.emit)


TASKS = (set_up_hosts,)
