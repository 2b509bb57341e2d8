"""Putting a release live on hosts, or an earlier one again: planned as data, then performed host after host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec

from warpbeam.artifact import Artifact
from warpbeam.error import Failed, Lost, Problem, Refused
from warpbeam.event import Note, Settled, Tell
from warpbeam.facts import Facts
from warpbeam.fleet import Fleet
from warpbeam.footprint import DOOR_VERSION, door
from warpbeam.inventory import Host, Inventory
from warpbeam.lease import LEASE, PARTS, Lease
from warpbeam.phase import Phase, render
from warpbeam.upload import Uploader, regular_files

NAME = "%Y%m%dT%H%M%SZ"


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
    withdraw: bool


class Activated(msgspec.Struct, frozen=True):
    """What an activation ended with; `left` is the release that was live before, or empty."""

    slot: str
    release: str
    left: str
    pid: int
    seconds: int


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


class HostPlan(msgspec.Struct, frozen=True):
    """What happens on one host. `upload`: it lacks the release; `activate`: it is not live there yet."""

    host: Host
    release: str
    label: str
    before: str
    upload: bool
    activate: bool


class Plan(msgspec.Struct, frozen=True):
    """A rollout: `why` is a word for the history; `migrate_on` is the host of the migrations, or None."""

    why: str
    label: str
    hosts: tuple[HostPlan, ...]
    migrate_on: Host | None = None
    withdraw: bool = False

    @property
    def idle(self) -> bool:
        """True when every host has it live already."""
        return not any(step.activate for step in self.hosts)


def plan_deploy(
    inventory: Inventory,
    facts: Mapping[str, Facts],
    artifact: Artifact,
    now: datetime,
    *,
    force: bool,
    migrate: bool,
) -> Plan:
    """How `artifact` goes out. Pure.

    Parameters:
        now: UTC; the release's name, unless a host has a newer one (a clock may have been ahead).
        force: put it live again where it is live already.

    Raises:
        Refused: a host cannot run it, or has no room for it.
    """
    for name, have in facts.items():
        check_fit(name, have, artifact)
    same = {name: _live_of(have, artifact) for name, have in facts.items()}
    # A host that was left out of an earlier, broken deploy gets the name that the others have.
    names = {found for found in same.values() if found}
    newest = max((release.name for have in facts.values() for release in have.releases), default="")
    fresh = max(now.strftime(NAME), _after(newest)) if newest else now.strftime(NAME)
    shared = max(names, default="")
    steps = []
    for host in inventory.app_hosts:
        have = facts[host.name]
        live = have.live_release
        release = fresh
        if shared and not force and (same[host.name] == shared or _may_take(have, shared, artifact)):
            release = shared
        before = live.label if live else "nothing"
        there = have.find(release)
        steps.append(
            HostPlan(
                host=host,
                release=release,
                label=artifact.label,
                before=f"{live.name} {before}" if live else before,
                upload=there is None,
                activate=force or live is None or live.name != release,
            )
        )
    target = inventory.migrate_host
    runs = migrate and inventory.deploy.migrate is not None and any(step.activate for step in steps)
    return Plan("deploy", artifact.label, tuple(steps), migrate_on=target if runs else None)


def _live_of(have: Facts, artifact: Artifact) -> str:
    live = have.live_release
    return live.name if live is not None and live.artifact.sha256 == artifact.manifest.sha256 else ""


def _may_take(have: Facts, name: str, artifact: Artifact) -> bool:
    """Whether a host may get a release of that name: it sorts after all it has, or is there with the same content."""
    there = have.find(name)
    if there is not None:
        return there.artifact.sha256 == artifact.manifest.sha256 and there.mark != "failed"
    return all(release.name < name for release in have.releases)


def _after(name: str) -> str:
    return (datetime.strptime(name, NAME).replace(tzinfo=UTC) + timedelta(seconds=1)).strftime(NAME)


def check_fit(name: str, have: Facts, artifact: Artifact) -> None:
    """Whether a host can run the artifact. Pure.

    Raises:
        Refused: another CPU, an older C library, no libcrypto of the right version, no room, another root door.
    """
    if have.door_version != DOOR_VERSION:
        raise Refused(
            f"{name}: the root door "
            + (f"has version {have.door_version}" if have.door_version else "does not answer")
            + f"; expected version {DOOR_VERSION}",
            "run `fab ENV setup`",
        )
    manifest = artifact.manifest
    made = manifest.toolchain
    if have.cpu != made.cpu:
        raise Refused(f"{name}: its CPU is {have.cpu}; the release was built for {made.cpu}", "build on a host like it")
    if _version(have.libc) < _version(made.libc) or have.libc.split()[0] != made.libc.split()[0]:
        raise Refused(
            f"{name}: its C library is {have.libc} ({have.os}); the release was built with {made.libc} ({made.os})",
            "build on a host whose C library is no newer",
        )
    if manifest.libcrypto and manifest.libcrypto not in have.libcrypto:
        raise Refused(
            f"{name}: it has no {manifest.libcrypto}, which the release was built with ({made.os})",
            "install it, or build on a host with the same OpenSSL",
        )
    files = regular_files(artifact)
    needs = sum(files[index].size for index in have.lacks) + 16 * 1024 * 1024
    if have.free < needs:
        raise Refused(
            f"{name}: {have.free / 1e6:.0f} MB are free for releases; expected {needs / 1e6:.0f} MB",
            "make room; `deploy.keep` says how many releases stay",
        )
    # Some file systems count no inodes and say 0.
    if 0 < have.inodes < len(have.lacks) + 500:
        raise Refused(f"{name}: {have.inodes} inodes are free; expected {len(have.lacks) + 500}", "make room")


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a text such as `glibc 2.36`."""
    return tuple(int(part) for part in text.rsplit(maxsplit=1)[-1].split(".") if part.isdigit())


def plan_rollback(inventory: Inventory, facts: Mapping[str, Facts], to: str, skip: frozenset[str]) -> Plan:
    """How every host goes back to the release before its live one, or to `to` (its name, or a version or commit). Pure.

    Raises:
        Refused: a host has none to go to, or hosts would go to different ones and no `to` was given.
    """
    targets: dict[str, str] = {}
    for name, have in facts.items():
        if name in skip:
            continue
        target = _named(have, to, name) if to else have.previous
        if not target:
            raise Refused(
                f"{name}: there is no release to go back to",
                f"`fab ENV releases` shows what there is; `--skip {name}` leaves this host as it is",
            )
        targets[name] = target
    if not targets:
        raise Refused("every host is skipped", "leave one")
    if len(set(targets.values())) > 1:
        told = ", ".join(f"{name} to {target}" for name, target in targets.items())
        raise Refused(f"hosts would go back to different releases: {told}", "say which one with --to")
    steps = []
    for host in inventory.app_hosts:
        if host.name not in targets:
            continue
        have = facts[host.name]
        release = have.find(targets[host.name])
        assert release is not None  # noqa: S101 (taken from its own list)
        live = have.live_release
        steps.append(
            HostPlan(
                host=host,
                release=release.name,
                label=release.label,
                before=f"{live.name} {live.label}" if live else "nothing",
                upload=False,
                activate=live is None or live.name != release.name,
            )
        )
    return Plan("rollback", steps[0].label, tuple(steps), withdraw=True)


def _named(have: Facts, to: str, host: str) -> str:
    fits = [
        release
        for release in have.releases
        if to in (release.name, release.artifact.version) or (len(to) >= 7 and release.artifact.commit.startswith(to))
    ]
    if not fits:
        known = ", ".join(release.name for release in have.releases) or "none"
        raise Refused(f"{host}: there is no release {to!r}", f"it has: {known}")
    return fits[-1].name


def plan_restart(inventory: Inventory, facts: Mapping[str, Facts]) -> Plan:
    """How every host gets a new instance of what is live. Pure. Raises: Refused, where nothing is live."""
    steps = []
    for host in inventory.app_hosts:
        live = facts[host.name].live_release
        if live is None:
            raise Refused(f"{host.name}: nothing is live", "deploy first")
        steps.append(HostPlan(host, live.name, live.label, f"{live.name} {live.label}", upload=False, activate=True))
    return Plan("restart", steps[0].label, tuple(steps))


def roll_out(fleet: Fleet, plan: Plan, lease: Lease, uploader: Uploader | None, tell: Tell) -> None:
    """Perform `plan` under `lease`: upload everywhere, migrate once, activate host after host, finish everywhere.

    Raises:
        Failed: a host failed; its message says what each host runs now.
        Lost: a host stopped answering in the middle of its activation.
    """
    began = datetime.now(UTC)
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


def tell_plan(plan: Plan, tell: Tell) -> None:
    """One line a host: from what to what."""
    for step in plan.hosts:
        where = f"to {step.release} {step.label}"
        text = f"{plan.why}: {step.before} {where}" if step.activate else f"stays on {step.release} {step.label}"
        tell(Note(step.host.name, text))
