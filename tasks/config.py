"""The settings of an environment."""

from __future__ import annotations

from typing import Any

from invoke import task


@task(
    auto_shortflags=False,
    help={
        "json": "print JSON on standard output",
        "origin": "also show where each value was written: a file and a line, or `default`",
    },
)
def config(c: Any, json: bool = False, origin: bool = False) -> None:
    """Show every setting of the environment as it results from its files and defaults; no secret."""
    from warpbeam.cli.session import session
    from warpbeam.inventory.settings import as_text, row, settings

    here = session(c)
    rows = [row(setting, origin=origin) for setting in settings(*here.reading)]
    if not json:
        rows = [{**each, "value": as_text(each["value"])} for each in rows]
    here.report.table(rows, as_json=json)


TASKS = (config,)
