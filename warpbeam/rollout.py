"""Performing a plan: upload everywhere, migrate once, activate host after host, finish everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from warpbeam.error import Failed, Lost, Problem
from warpbeam.event import Settled, Tell, Warn
from warpbeam.fleet import Fleet
from warpbeam.footprint import door
from warpbeam.inventory import Host
from warpbeam.lease import LEASE, PARTS, Lease
from warpbeam.phase import Phase, render
from warpbeam.plan import HostPlan, Plan
from warpbeam.upload import Uploader


class Job(Phase[None], frozen=True):
    """The activation's job, which runs on the host without us; fields as `scripts/activation.sh` tells."""

    script: ClassVar[str] = "activation"
    parts: ClassVar[tuple[str, ...]] = ("common", "layout")
    root: str
    app: str
    door: str
    release: str
    ports: tuple[int, ...]
    health_path: str
    health_status: int
    health_interval: float
    health_timeout: float
    health_deadline: int
    strategy: str
    drain: int
    withdraw: bool


class Activated(msgspec.Struct, frozen=True):
    """What an activation ended with; `left` is the release that was live before, or empty; `cut` how many connections were open to it at its end."""

    slot: str
    release: str
    left: str
    pid: int
    seconds: int
    cut: int = 0


class Activate(Phase[Activated], frozen=True):
    """Start the job in a unit of its own and follow it."""

    script: ClassVar[str] = "activate"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Activated
    root: str
    app: str
    door: str
    token: str
    lease: int
    job: str


class Migrated(msgspec.Struct, frozen=True):
    """The migrations' exit status."""

    status: int


class Migrate(Phase[Migrated], frozen=True):
    """Run the migrations of a release, before any switch."""

    script: ClassVar[str] = "migrate"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Migrated
    root: str
    app: str
    door: str
    token: str
    lease: int
    release: str
    expression: str


class Finished(msgspec.Struct, frozen=True):
    """The releases that were removed."""

    pruned: tuple[str, ...]


class Finish(Phase[Finished], frozen=True):
    """Prune, write the history, give the lock back."""

    script: ClassVar[str] = "finish"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Finished
    root: str
    app: str
    token: str
    lease: int
    keep: int
    entry: str


def roll_out(fleet: Fleet, plan: Plan, lease: Lease, uploader: Uploader | None, tell: Tell) -> None:
    """Perform `plan` under `lease`: upload everywhere, migrate once, activate host after host, finish everywhere.

    Raises:
        Failed: a host failed; its message says what each host runs now.
        Lost: a host stopped answering in the middle of its activation.
    """
    began = datetime.now(UTC)
    inventory = fleet.inventory
    hosts = [step.host for step in plan.hosts]
    steps = {step.host.name: step for step in plan.hosts}
    lacking = [step.host for step in plan.hosts if step.upload]
    if lacking:
        assert uploader is not None  # noqa: S101 (only a deploy uploads)
        _upload(fleet, lacking, steps, lease, uploader, tell)
    if plan.migrate_on is not None:
        _migrate(fleet, plan, steps, lease, tell)
    done: list[str] = []
    problem: Problem | None = None
    for step in plan.hosts:
        if not step.activate:
            tell(Settled(step.host.name, f"runs {step.release} {step.label} already"))
            continue
        try:
            result = fleet.run(step.host, _activate(fleet, step, lease, withdraw=plan.withdraw), tell)
        except Problem as stopped:
            problem = stopped
            break
        done.append(step.host.name)
        tell(Settled(step.host.name, f"runs {step.release} {step.label} (was {step.before}), slot {result.slot}"))
        if result.cut:
            what = "1 connection was" if result.cut == 1 else f"{result.cut} connections were"
            tell(Warn(step.host.name, f"{what} still open after {inventory.deploy.drain:g} s and cut"))
    outcome = "failed" if problem else "done"
    finished = fleet.everywhere(
        hosts,
        lambda host: fleet.run(host, _finish(fleet, plan, steps[host.name], lease, began, outcome), tell),
    )
    if problem is not None:
        raise _stopped(plan, problem, done) from None
    for ending in finished.values():
        if isinstance(ending, Problem):
            text = f"{ending.message}; the new release serves on every host, only the clean-up failed"
            raise Failed(text, ending.hint, ending.details)


def _upload(
    fleet: Fleet,
    hosts: Sequence[Host],
    steps: Mapping[str, HostPlan],
    lease: Lease,
    uploader: Uploader,
    tell: Tell,
) -> None:
    def one(host: Host) -> object:
        facts = lease.facts[host.name]
        return uploader.upload(fleet, host, lease.token, steps[host.name].release, facts.base, facts.lacks, tell)

    results = fleet.everywhere(hosts, one)
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if problems:
        first = next(iter(problems.values()))
        raise Failed(f"{first.message}; nothing was switched on any host", first.hint, first.details)


def _migrate(fleet: Fleet, plan: Plan, steps: Mapping[str, HostPlan], lease: Lease, tell: Tell) -> None:
    host, inventory = plan.migrate_on, fleet.inventory
    assert host is not None and inventory.deploy.migrate is not None  # noqa: S101 (the plan says so)
    phase = Migrate(
        str(inventory.root),
        inventory.app,
        door(inventory),
        lease.token,
        LEASE,
        steps[host.name].release,
        inventory.deploy.migrate,
    )
    fleet.run(host, phase, tell)


def _activate(fleet: Fleet, step: HostPlan, lease: Lease, *, withdraw: bool) -> Activate:
    inventory = fleet.inventory
    health = inventory.health
    job = Job(
        root=str(inventory.root),
        app=inventory.app,
        door=door(inventory),
        release=step.release,
        ports=inventory.http.slots,
        health_path=health.path,
        health_status=health.status,
        health_interval=health.interval,
        health_timeout=health.timeout,
        health_deadline=math.ceil(health.deadline),
        strategy=inventory.deploy.strategy,
        drain=math.ceil(inventory.deploy.drain),
        withdraw=withdraw,
    )
    return Activate(str(inventory.root), inventory.app, door(inventory), lease.token, LEASE, render(job).decode())


def _finish(fleet: Fleet, plan: Plan, step: HostPlan, lease: Lease, began: datetime, outcome: str) -> Finish:
    inventory = fleet.inventory
    now = datetime.now(UTC)
    entry = {
        "at": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "what": plan.why,
        "release": step.release,
        "version": step.label,
        "before": step.before,
        "seconds": round((now - began).total_seconds(), 1),
        "outcome": outcome,
    }
    return Finish(
        str(inventory.root),
        inventory.app,
        lease.token,
        LEASE,
        inventory.deploy.keep,
        msgspec.json.encode(entry).decode() if step.activate else "",
    )


def _stopped(plan: Plan, problem: Problem, done: Sequence[str]) -> Problem:
    waiting = [step.host.name for step in plan.hosts if step.activate and step.host.name not in done][1:]
    states = []
    if done:
        states.append(f"{', '.join(done)} {'runs' if len(done) == 1 else 'run'} {plan.label} already")
    if waiting:
        states.append(f"{', '.join(waiting)} {'was' if len(waiting) == 1 else 'were'} not touched")
    text = "; ".join([problem.message, *states])
    kind = Lost if isinstance(problem, Lost) else Failed
    return kind(text, problem.hint, problem.details)
