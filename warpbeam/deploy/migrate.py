"""The migrations: once, on one host, from the new release, before any switch."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.deploy.history import HistoryWriter, note
from warpbeam.deploy.lock import PARTS, LockedPhase, locked_parameters
from warpbeam.error import Problem
from warpbeam.event import Emit
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import ExitStatus
from warpbeam.inventory.schema import Host


class Migrated(msgspec.Struct, frozen=True):
    """The migrations' exit status."""

    status: ExitStatus


class Migrate(LockedPhase[Migrated], frozen=True, kw_only=True):
    """Run the migrations of a release, before any switch."""

    script: ClassVar[str] = "deploy/migrate"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Migrated
    helper: str
    release: str
    expression: str


def migrate(fleet: Fleet, host: Host, writer: HistoryWriter, emit: Emit) -> None:
    """Run the migrations of `host` there, from the new release; note a failure in that host's history.

    Raises:
        Failed: the migrations failed, or a hook of theirs; nothing was switched.
    """
    plan, inventory = writer.plan, fleet.inventory.of(host)
    assert inventory.deploy.migrate is not None  # noqa: S101 (the plan says so)
    step = next(step for step in plan.hosts if step.host == host)
    phase = Migrate(
        **locked_parameters(inventory, writer.lease.token),
        helper=helper(inventory),
        release=step.release,
        expression=inventory.deploy.migrate,
    )
    try:
        with around(fleet, "migrate", [host], emit, plan.for_hooks):
            fleet.run(host, phase, emit)
    except Problem as problem:
        note(fleet, writer, step, "failed", problem.message, emit)
        raise
    except KeyboardInterrupt:
        note(fleet, writer, step, "interrupted", "its migrations were stopped", emit)
        raise
