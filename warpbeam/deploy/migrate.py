"""Migrations: once, on one host, from the new release, before any switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from warpbeam.deploy.history import Scribe, note
from warpbeam.deploy.lock import LEASE, PARTS
from warpbeam.deploy.plan import HostPlan, Plan
from warpbeam.error import Problem
from warpbeam.event import Tell
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.hooks import around
from warpbeam.helper.program import door
from warpbeam.host.answer import ExitStatus
from warpbeam.host.phase import Phase


class Migrated(msgspec.Struct, frozen=True):
    """The migrations' exit status."""

    status: ExitStatus


class Migrate(Phase[Migrated], frozen=True):
    """Run the migrations of a release, before any switch."""

    script: ClassVar[str] = "deploy/migrate"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Migrated
    root: str
    app: str
    door: str
    token: str
    lease: int
    release: str
    expression: str


def migrate(fleet: Fleet, plan: Plan, steps: Mapping[str, HostPlan], scribe: Scribe, tell: Tell) -> None:
    """Run the migrations where the plan says, from the new release; what fails there is in that host's history.

    Raises:
        Failed: they failed, or a hook of theirs; nothing was switched.
    """
    host, inventory = plan.migrate_on, fleet.inventory
    assert host is not None and inventory.deploy.migrate is not None  # noqa: S101 (the plan says so)
    phase = Migrate(
        str(inventory.root),
        inventory.app,
        door(inventory),
        scribe.lease.token,
        LEASE,
        steps[host.name].release,
        inventory.deploy.migrate,
    )
    try:
        with around(fleet, "migrate", [host], tell, plan.for_hooks):
            fleet.run(host, phase, tell)
    except Problem as problem:
        note(fleet, scribe, steps[host.name], "failed", problem.message, tell)
        raise
    except KeyboardInterrupt:
        note(fleet, scribe, steps[host.name], "interrupted", "its migrations were stopped", tell)
        raise
