"""Activation of a release on one host: a job runs there by itself, and the command only follows it."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from warpbeam.deploy.follow import Activated, read_back
from warpbeam.deploy.history import HISTORY_PARTS, PendingEntry
from warpbeam.deploy.lock import PARTS, Lease, LockedPhase, locked_parameters
from warpbeam.deploy.strategy import BLUE_GREEN, RESTART
from warpbeam.error import Lost
from warpbeam.event import Emit, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.health import HEALTH_PARTS, HealthPhase, health_parameters
from warpbeam.host.script import text_of
from warpbeam.inventory.schema import Host

# Seconds, beyond those that the inventory gives a job, until it is no longer waited for after a lost connection.
PATIENCE = 30
# The shared parts of a job, before those of its strategy.
JOB_PARTS = (
    "host/common",
    "host/layout",
    "deploy/result",
    "deploy/history",
    *HEALTH_PARTS,
    "host/instance",
    "deploy/job/reserve",
    "deploy/job/await",
    "deploy/job/app_log",
    "deploy/job/slot",
    "deploy/job/traffic",
    "deploy/job/current",
)


class Job(HealthPhase[None], frozen=True, kw_only=True):
    """The activation's job, which runs on the host; the head of `warpbeam/deploy/job.sh` explains its fields."""

    release: str
    drain: int
    balancer_drain: int
    withdraw: bool
    job_id: str
    publics: tuple[int, ...]


class RestartJob(Job, frozen=True, kw_only=True):
    """The job of the strategy `restart`."""

    script: ClassVar[str] = "deploy/job"
    parts: ClassVar[tuple[str, ...]] = (*JOB_PARTS, "deploy/strategy/restart")


class BlueGreenJob(Job, frozen=True, kw_only=True):
    """The job of the strategy `blue-green`."""

    script: ClassVar[str] = "deploy/job"
    parts: ClassVar[tuple[str, ...]] = (*JOB_PARTS, "host/connections", "deploy/strategy/blue_green")


JOBS: dict[str, type[Job]] = {RESTART.name: RestartJob, BLUE_GREEN.name: BlueGreenJob}


class Ended(msgspec.Struct, frozen=True):
    """The answer of a phase that followed a successful activation to its end.

    `given_back`: the host has pruned and taken its lock back.
    """

    activated: Activated
    given_back: bool


class Activate(LockedPhase[Ended], frozen=True, kw_only=True):
    """Start the job in its own unit and follow it; the head of `warpbeam/deploy/activate.sh` explains its fields."""

    script: ClassVar[str] = "deploy/activate"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HISTORY_PARTS, "deploy/prune")
    answer: ClassVar[type] = Ended
    helper: str
    job_size: int
    remember: str
    job_id: str
    spent: int
    success: str
    entry: tuple[str, ...]
    ends: bool
    keep: int


def activate(
    fleet: Fleet,
    host: Host,
    release: str,
    lease: Lease,
    entry_begun: PendingEntry,
    emit: Emit,
    *,
    withdraw: bool,
    ends: bool = False,
    digest: str = "",
) -> Activated:
    """Put `release`, which is on `host`, live there, by the inventory's strategy.

    Parameters:
        entry_begun: the pending entry for the host's history.
        withdraw: mark the release that was live before as rolled back from.
        digest: the digest of the verified release, for the privileged helper to keep; empty: there is none.
        ends: nothing follows on this host: where the activation succeeds, have it prune and take the lock back, too.

    Raises:
        Failed: the release did not become live; the message says what serves now.
        Lost: the host stopped answering, and the outcome could not be read back: the job goes on there.
    """
    inventory = fleet.inventory.of(host)
    job = JOBS[inventory.deploy.strategy](
        **health_parameters(inventory),
        release=release,
        drain=math.ceil(inventory.deploy.drain),
        balancer_drain=math.ceil(inventory.deploy.balancer_drain),
        withdraw=withdraw,
        job_id=entry_begun.job,
        publics=tuple(inventory.leads("a")),
    )
    text = text_of(job).encode()
    phase = Activate(
        **locked_parameters(inventory, lease.token),
        helper=helper(inventory),
        job_size=len(text),
        remember=f"{release} {digest}" if digest else "",
        job_id=entry_begun.job,
        spent=entry_begun.spent,
        success=entry_begun.success,
        entry=entry_begun.entry,
        ends=ends,
        keep=inventory.deploy.keep,
    )
    try:
        ended = fleet.run(host, phase, emit, (text,))
    except Lost as lost:
        if fleet.interrupted:
            raise
        emit(Warn(host.name, f"{lost.message}; asking how it ended"))
        patience = job.health_deadline + job.drain + job.balancer_drain + PATIENCE
        return read_back(fleet, host, job.job_id, patience, lost, emit)
    return msgspec.structs.replace(ended.activated, given_back=ended.given_back)
