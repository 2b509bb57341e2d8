"""The deploy lock."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task

from . import rows


@task(auto_shortflags=False, help={"json": "print JSON on standard output"})
def status(c: Any, json: bool = False) -> None:
    """Show who holds the deploy lock on every host, why, and since when."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.freeze import lock_status

    here = session(c)
    with here.report.asking():
        found = lock_status(here.fleet, here.emit)
    rows.show(here, found, as_json=json)


@task(auto_shortflags=False, help={"reason": "why nobody may deploy; shown to everyone who tries"})
def acquire(c: Any, reason: str = "") -> None:
    """Freeze: keep everybody from deploying until lock.release."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.freeze import freeze
    from warpbeam.error import Misuse

    here = session(c)
    if not reason.strip():
        raise Misuse("a freeze needs a reason, for everyone whom it stops", 'lock.acquire --reason "…"')
    freeze(here.fleet, reason, here.emit)


@task(auto_shortflags=False, help={"force": "also take away the lock of a command that runs, or that is gone"})
def release(c: Any, force: bool = False) -> None:
    """End a freeze."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.freeze import thaw

    here = session(c)
    thaw(here.fleet, here.emit, force=force)


namespace = Collection("lock", status, acquire, release)
