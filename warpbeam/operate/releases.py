"""The releases that are on the hosts of an app."""

from __future__ import annotations

from typing import Any

from warpbeam.error import Problem
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.operate.status import states


def release_rows(fleet: Fleet) -> list[dict[str, Any]]:
    """Return one row for each release of each host, newest first."""
    rows: list[dict[str, Any]] = []
    for host, state in states(fleet, silent).items():
        if isinstance(state, Problem):
            rows.append({"host": host, "problem": state.reason})
            continue
        live = state.slots.get(state.live, "")
        rows += [
            {
                "host": host,
                "release": release.name,
                "version": release.artifact.version,
                "commit": release.artifact.short_commit,
                "state": "live" if release.name == live else release.mark,
                "subject": release.artifact.subject,
            }
            for release in reversed(state.releases)
        ]
    return rows
