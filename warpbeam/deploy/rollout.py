"""Perform a plan: upload everywhere, migrate once, activate batch by batch, finish everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, ClassVar, Literal

import msgspec

from warpbeam.deploy.activate import Activated, activate
from warpbeam.deploy.batch import batches
from warpbeam.deploy.cancel import cancel
from warpbeam.deploy.history import HistoryWriter, note
from warpbeam.deploy.lock import PARTS, Lease, LockedPhase, locked_parameters
from warpbeam.deploy.migrate import migrate
from warpbeam.deploy.plan import HostPlan, Plan
from warpbeam.deploy.upload import Uploader, digests
from warpbeam.deploy.verify import check_release, check_releases
from warpbeam.error import Failed, Lost, Problem, restated
from warpbeam.event import SOCKETS, Emit, Note, Settled, Step, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.hooks import around
from warpbeam.host.answer import FEW, ReleaseName
from warpbeam.inventory.schema import Host
from warpbeam.operate.node import read_status


class Finished(msgspec.Struct, frozen=True):
    """The answer of a finished host: the releases that it removed."""

    pruned: Annotated[tuple[ReleaseName, ...], FEW]


class Finish(LockedPhase[Finished], frozen=True, kw_only=True):
    """Prune, write what the history lacks, give the lock back."""

    script: ClassVar[str] = "deploy/finish"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, "deploy/history", "deploy/prune")
    answer: ClassVar[type] = Finished
    keep: int
    entry: str
    job_id: str


class Policy(msgspec.Struct, frozen=True):
    """The rules by which a rollout goes from host to host.

    `batch` says how many hosts change at once (see `warpbeam.deploy.batch`). `pause` is the seconds between two
    batches, after which a changed host that is no longer healthy is rolled back. `on_failure` says whether the other
    changed hosts stay (`stop`) or go back too (`rollback`).
    """

    batch: str
    pause: float = 0
    on_failure: Literal["stop", "rollback"] = "stop"


class Rolled(msgspec.Struct):
    """The progress of a roll: hosts by what they run now.

    `sick` are hosts of `done` that were healthy at first and are no longer. `jobs` are the ids of the activations that
    failed or never began, by host.
    """

    done: list[str] = []
    sick: list[str] = []
    failed: dict[str, Problem] = {}
    brought_back: list[str] = []
    jobs: dict[str, str] = {}


def roll_out(
    fleet: Fleet,
    plan: Plan,
    policy: Policy,
    lease: Lease,
    uploader: Uploader | None,
    emit: Emit,
    *,
    known: Mapping[str, Sequence[str]] | None = None,
    force: bool = False,
) -> None:
    """Perform `plan` under `lease`: upload everywhere, migrate once, activate batch by batch, finish everywhere.

    Parameters:
        known: the digests that each host's release may have, by the host's name, where this machine has its artifact.
        force: put a release live although it is not as it was deployed, with a warning.

    Raises:
        Refused: a release that a host has already is not as it was deployed; nothing was changed.
        Failed: a host or a hook failed; the message says what each host runs now.
        Lost: a host stopped answering in the middle of its activation.
    """
    if plan.idle:
        _perform(fleet, plan, policy, lease, uploader, {}, emit)
        return
    sums = _verify(fleet, plan, uploader, known or {}, emit, force=force)
    with around(fleet, plan.why, [step.host for step in plan.hosts], emit, plan.for_hooks):
        _perform(fleet, plan, policy, lease, uploader, sums, emit)


def _verify(
    fleet: Fleet,
    plan: Plan,
    uploader: Uploader | None,
    known: Mapping[str, Sequence[str]],
    emit: Emit,
    *,
    force: bool,
) -> dict[str, str]:
    """Verify the releases that hosts have already; return the digests of all that go live, by the host's name.

    An upload is verified as it arrives.
    """
    there = [step for step in plan.hosts if step.activate and not step.upload]
    releases = {step.host.name: step.release for step in there}
    sums: dict[str, str] = {}
    if uploader is not None:
        both = digests(uploader.artifact)
        known = dict.fromkeys(releases, both)
        sums = {step.host.name: both[0] for step in plan.hosts if step.upload}
    return sums | check_releases(fleet, [step.host for step in there], releases, known, emit, force=force)


def _perform(
    fleet: Fleet,
    plan: Plan,
    policy: Policy,
    lease: Lease,
    uploader: Uploader | None,
    sums: Mapping[str, str],
    emit: Emit,
) -> None:
    writer = HistoryWriter(plan, lease, datetime.now(UTC))
    steps = {step.host.name: step for step in plan.hosts}
    receivers = [step.host for step in plan.hosts if step.upload]
    try:
        if receivers:
            assert uploader is not None  # noqa: S101 (only a deploy uploads)
            _upload(fleet, receivers, steps, writer, uploader, emit)
        if plan.migrate_on is not None:
            migrate(fleet, plan, steps, writer, emit)
    except Problem:
        emit(Note("", plan.unchanged))
        raise
    for step in plan.hosts:
        if not step.activate:
            text = f"runs already {step.release} {step.label}"
            emit(Settled(step.host.name, text + _maintained(fleet, lease.facts[step.host.name].helper.maintenance)))
    rolled = _roll(fleet, plan, policy, writer, sums, emit)
    # A failed activation undoes itself. A host that became unhealthy goes back; the others only by `on_failure`.
    if back := rolled.done.copy() if rolled.failed and policy.on_failure == "rollback" else rolled.sick:
        _bring_back(fleet, steps, back, rolled, writer, emit)

    def finish(host: Host) -> Finished:
        problem, job = rolled.failed.get(host.name), rolled.jobs.get(host.name, "")
        if host.name in rolled.brought_back:
            problem = None
        entry = writer.ending(steps[host.name], "failed", problem.message, job) if problem else ""
        finished = fleet.run(host, _finish(fleet, lease, entry, job), emit)
        lease.given_back.add(host.name)
        return finished

    left = [step.host for step in plan.hosts if step.host.name not in lease.given_back]
    finished = fleet.everywhere(left, finish)
    if rolled.failed:
        raise _stopped(plan, rolled) from None
    for ending in finished.values():
        if isinstance(ending, Problem):
            raise restated(ending, Failed, "; the new release serves on every host, only the clean-up failed")


def _roll(
    fleet: Fleet, plan: Plan, policy: Policy, writer: HistoryWriter, sums: Mapping[str, str], emit: Emit
) -> Rolled:
    """Activate batch by batch, until a host fails."""
    rolled = Rolled()
    steps = {step.host.name: step for step in plan.hosts}
    changed: set[str] = set()

    def one(host: Host, *, ends: bool) -> None:
        step = steps[host.name]
        with around(fleet, "activate", [host], emit, plan.for_hooks):
            entry_begun = writer.entry_begun(step)
            rolled.jobs[host.name] = entry_begun.job
            result = activate(
                fleet,
                host,
                step.release,
                writer.lease,
                entry_begun,
                emit,
                withdraw=plan.withdraw,
                ends=ends,
                digest=sums.get(host.name, ""),
            )
            if result.given_back:
                writer.lease.given_back.add(host.name)
            # A hook that fails after the activation does not undo it: this host has changed.
            changed.add(host.name)
            del rolled.jobs[host.name]
            _emit_activated(fleet, step, result, emit)

    todo = [step.host for step in plan.hosts if step.activate]
    groups = list(batches(todo, policy.batch))
    for host in (host for batch in groups[1:] for host in batch):
        emit(Step(host.name, "waits for its turn"))
    for index, batch in enumerate(groups):
        if index and policy.pause:
            _pause(fleet, [steps[name].host for name in rolled.done], policy.pause, rolled, emit)
            if rolled.failed:
                break
        # Nothing can follow on the last hosts: no other host's failure rolls them back, no hook can fail.
        ends = batch is groups[-1] and policy.on_failure == "stop" and "activate" not in fleet.inventory.hooks
        try:
            results = fleet.everywhere(batch, partial(one, ends=ends))
        except KeyboardInterrupt:
            emit(Note("", "stopping what is under way; a third Ctrl-C leaves that to the hosts"))
            begun = [host for host in batch if host.name in rolled.jobs]
            fleet.everywhere(begun, lambda host: cancel(fleet, host, rolled.jobs[host.name], emit))
            raise
        for name, result in results.items():
            if isinstance(result, Problem):
                rolled.failed[name] = result
            if name in changed:
                rolled.done.append(name)
        if rolled.failed:
            break
    return rolled


def _emit_activated(fleet: Fleet, step: HostPlan, result: Activated, emit: Emit) -> None:
    if step.release == step.before_release:
        done = "started" if step.stopped else "restarted"
        ending = f"{done} {step.release} {step.label}, slot {step.slot} to {result.slot}"
    else:
        was = f"was {step.before}" if step.before_release else "the first here"
        ending = f"runs {step.release} {step.label} ({was}), slot {result.slot}"
    emit(Settled(step.host.name, ending + _maintained(fleet, result.maintenance)))
    if result.cut:
        what = "1 connection was" if result.cut == 1 else f"{result.cut} connections were"
        # Not "cut": an app that stops in good order may still have finished the work on them. The kernel does not know
        # which of them are WebSockets.
        drained = f"after {fleet.inventory.deploy.drain:g} s of draining, when the old instance was stopped"
        emit(Warn(step.host.name, f"{what} still open {drained} ({SOCKETS})"))


def _maintained(fleet: Fleet, on: bool) -> str:
    port = fleet.inventory.http.port
    return f"; maintenance is on: port {port} answers 503 until `maintenance.off`" if on else ""


def _pause(fleet: Fleet, hosts: Sequence[Host], seconds: float, rolled: Rolled, emit: Emit) -> None:
    """Wait, then check whether the hosts that have changed are still healthy."""
    emit(Note("", f"waiting {seconds:g} s before the next hosts"))
    end = time.monotonic() + seconds
    # Sleep in pieces: Python handles a signal that arrives just before a sleep only after that sleep.
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
    for name, state in fleet.everywhere(hosts, lambda host: fleet.run(host, read_status(fleet), emit)).items():
        if isinstance(state, Problem):
            rolled.failed[name] = state
        elif state.trouble:
            text = f"after {seconds:g} s it is no longer healthy: {state.trouble}"
            hint = f"`fab {fleet.inventory.name} logs -H {name}` shows what it says"
            rolled.sick.append(name)
            rolled.failed[name] = Failed(text, hint, host=name)


def _bring_back(
    fleet: Fleet, steps: Mapping[str, HostPlan], names: Sequence[str], rolled: Rolled, writer: HistoryWriter, emit: Emit
) -> None:
    """Roll the hosts of `names`, which have changed, back to what was live before."""
    back = [steps[name].host for name in names if steps[name].before_release]

    def one(host: Host) -> Activated:
        if host.name in rolled.failed:
            # The history gives the reason first, then the roll back.
            note(fleet, writer, steps[host.name], "failed", rolled.failed[host.name].message, emit)
        entry_begun = writer.return_opening(steps[host.name])
        rolled.jobs[host.name] = entry_begun.job
        before = steps[host.name].before_release
        check_release(fleet, host, before, emit)
        result = activate(fleet, host, before, writer.lease, entry_begun, emit, withdraw=True)
        del rolled.jobs[host.name]
        return result

    for name, result in fleet.everywhere(back, one).items():
        rolled.done.remove(name)
        if isinstance(result, Problem):
            rolled.failed[name] = result
        else:
            rolled.brought_back.append(name)
            emit(Settled(name, f"runs {steps[name].before} again", good=False))


def _upload(
    fleet: Fleet,
    hosts: Sequence[Host],
    steps: Mapping[str, HostPlan],
    writer: HistoryWriter,
    uploader: Uploader,
    emit: Emit,
) -> None:
    lease = writer.lease

    def one(host: Host) -> object:
        facts = lease.facts[host.name]
        step = steps[host.name]
        return uploader.upload(fleet, host, lease.token, step.release, step.about, facts.base, facts.lacks, emit)

    results = fleet.everywhere(hosts, one)
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if problems:
        failing = [host for host in hosts if host.name in problems]
        fleet.everywhere(
            failing,
            lambda host: note(fleet, writer, steps[host.name], "failed", problems[host.name].message, emit),
        )
        first = next(iter(problems.values()))
        raise restated(first, Failed, "; nothing was switched on any host")


def _finish(fleet: Fleet, lease: Lease, entry: str, job: str) -> Finish:
    inventory = fleet.inventory
    return Finish(**locked_parameters(inventory, lease.token), keep=inventory.deploy.keep, entry=entry, job_id=job)


def _stopped(plan: Plan, rolled: Rolled) -> Problem:
    """Return one problem for all that failed, which says what every host runs now."""
    touched = {*rolled.done, *rolled.failed, *rolled.brought_back}
    untouched = [step.host.name for step in plan.hosts if step.activate and step.host.name not in touched]
    problems = list(rolled.failed.values())
    states = [problem.message for problem in problems]
    if rolled.done:
        states.append(f"{_names(rolled.done)} {'runs' if len(rolled.done) == 1 else 'run'} {plan.label} already")
    if rolled.brought_back:
        verb = "was" if len(rolled.brought_back) == 1 else "were"
        states.append(f"{_names(rolled.brought_back)} {verb} brought back to what ran before")
    if untouched:
        states.append(f"{_names(untouched)} {'was' if len(untouched) == 1 else 'were'} not touched")
    kind = Lost if all(isinstance(problem, Lost) for problem in problems) else Failed
    details = tuple(line for problem in problems for line in problem.details)
    return kind("; ".join(states), problems[0].hint, details)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
