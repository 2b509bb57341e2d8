"""The app off and on: restart, stop and start."""

from __future__ import annotations

from typing import Any

from invoke import task

from . import rolling


@task(auto_shortflags=False, iterable=["skip"], help={"force": rolling.FORCE, **rolling.HELP})
def restart(
    c: Any,
    force: bool = False,
    batch: str = "",
    pause: str = "",
    on_failure: str = "",
    skip: Any = None,
    skip_unreachable: bool = False,
    wait: str = "",
    jobs: str = "",
) -> None:
    """Restart the live release as a new instance on every host, host after host."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.restart import restart as restart_everywhere
    from warpbeam.deploy.target import store_of

    here = session(c)
    here.fleet.set_jobs(jobs)
    policy = rolling.policy_of(here.fleet, batch, pause, on_failure)
    with rolling.explained(here, here.fleet):
        selection, store = (
            rolling.selection_of(skip, skip_unreachable, wait),
            store_of(here.fleet, here.project),
        )
        restart_everywhere(here.fleet, selection, policy, here.emit, store=store, force=force)


@task(auto_shortflags=False)
def stop(c: Any) -> None:
    """Stop the app, host after host; a reboot or `start` brings it back."""
    from warpbeam.cli.session import session
    from warpbeam.operate.power import stop_app

    here = session(c)
    stop_app(here.fleet, here.emit)


@task(auto_shortflags=False, help={"force": rolling.FORCE})
def start(c: Any, force: bool = False) -> None:
    """Start the live release, host after host, and wait until it is healthy."""
    from warpbeam.cli.session import session
    from warpbeam.operate.power import start_app

    here = session(c)
    start_app(here.fleet, here.emit, force=force)


TASKS = (restart, stop, start)
