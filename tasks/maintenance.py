"""Maintenance: a page in place of the app, while people work on it."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task


@task(
    auto_shortflags=False,
    help={"message": "what people read on the page (one line of at most 1000 bytes); a page that is on keeps its own"},
)
def on(c: Any, message: str = "") -> None:
    """Show a page (503) in place of the app on every host until maintenance.off, through deploys and reboots too."""
    from warpbeam.cli.session import session
    from warpbeam.operate.maintenance import maintain

    here = session(c)
    maintain(here.fleet, "on", here.emit, message)


@task(auto_shortflags=False)
def off(c: Any) -> None:
    """Lead the public port of every host to the app again."""
    from warpbeam.cli.session import session
    from warpbeam.operate.maintenance import maintain

    here = session(c)
    maintain(here.fleet, "off", here.emit)


namespace = Collection(on, off)
