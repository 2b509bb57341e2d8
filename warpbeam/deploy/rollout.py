"""Perform a plan: upload everywhere, migrate once, activate batch by batch, finish everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime

import msgspec

from warpbeam.deploy.activate import activate
from warpbeam.deploy.admit import admit_releases
from warpbeam.deploy.batch_sizes import batches_of
from warpbeam.deploy.cancel import cancel_begun
from warpbeam.deploy.finish import finish_hosts
from warpbeam.deploy.follow import Activated
from warpbeam.deploy.history import HistoryWriter, new_job, note
from warpbeam.deploy.lock import Lease
from warpbeam.deploy.migrate import migrate
from warpbeam.deploy.outcome import (
    CheckFailure,
    HostOutcome,
    Rollout,
    emit_activated,
    hosts_to_bring_back,
    maintained,
    rollout_problem,
)
from warpbeam.deploy.plan import HostPlan, Plan
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.upload import Uploader, upload_releases
from warpbeam.deploy.verify import check_release, verify_releases
from warpbeam.error import Failed, Problem, restated
from warpbeam.event import Emit, Note, Settled, Step
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import Fleet
from warpbeam.operate.status import read_status


def roll_out(
    fleet: Fleet,
    plan: Plan,
    policy: Policy,
    lease: Lease,
    uploader: Uploader | None,
    emit: Emit,
    *,
    known: Mapping[str, Sequence[str]],
    force: bool = False,
) -> None:
    """Perform `plan` under `lease`: upload everywhere, migrate once, activate batch by batch, finish everywhere.

    Parameters:
        uploader: uploads the release to the hosts that lack it; None: every host has it.
        known: the digests that each host's release may have, by the host's name, where this machine has its artifact.
        force: put a release live although it is not as it was deployed, with a warning.

    Raises:
        Refused: a release that a host has already is not as it was deployed; nothing was changed.
        Failed: a host or a hook failed; the message says what each host runs now.
        Lost: a host stopped answering in the middle of its activation.
    """
    digests = {} if plan.idle else verify_releases(fleet, plan, known, emit, force=force)
    with _hooks(fleet, plan, emit):
        writer = HistoryWriter(plan, lease, datetime.now(UTC))
        with _nothing_switched(plan, emit):
            if uploader is not None:
                upload_releases(fleet, uploader, writer, emit)
            admit_releases(fleet, writer, emit)
            for host in plan.migrate_on:
                migrate(fleet, host, writer, emit)
        _emit_unchanged(fleet, plan, lease, emit)
        rollout = activate_in_batches(fleet, policy, writer, digests, emit)
        rollout = bring_back(fleet, policy, rollout, writer, emit)
        unfinished = finish_hosts(fleet, rollout, writer, emit)
        if rollout.problems:
            raise rollout_problem(plan, rollout)
        if unfinished:
            raise restated(unfinished[0], Failed, "; the new release serves on every host, only the clean-up failed")


def activate_in_batches(
    fleet: Fleet, policy: Policy, writer: HistoryWriter, digests: Mapping[str, str], emit: Emit
) -> Rollout:
    """Activate batch by batch, until a host fails; between two batches, pause and check the hosts that changed."""
    groups = batches_of(fleet.inventory, [step for step in writer.plan.hosts if step.activate], policy.batch)
    for step in (step for batch in groups[1:] for step in batch):
        emit(Step(step.host.name, "waits for its turn"))
    rollout = Rollout()
    for batch in groups:
        if batch is not groups[0] and policy.pause:
            _pause(policy.pause, emit)
            rollout = msgspec.structs.replace(rollout, failures=check_changed(fleet, rollout, policy.pause, emit))
            if rollout.problems:
                return rollout
        # Nothing can follow on the last hosts: no other host's failure rolls them back, no hook can fail.
        ends = batch is groups[-1] and policy.on_failure == "stop" and "activate" not in fleet.inventory.hooks
        outcomes = activate_batch(fleet, batch, writer, digests, emit, ends=ends)
        rollout = msgspec.structs.replace(rollout, outcomes=(*rollout.outcomes, *outcomes))
        if rollout.problems:
            return rollout
    return rollout


def activate_batch(
    fleet: Fleet,
    batch: Sequence[HostPlan],
    writer: HistoryWriter,
    digests: Mapping[str, str],
    emit: Emit,
    *,
    ends: bool,
) -> tuple[HostOutcome, ...]:
    """Activate on the hosts of `batch` at once; an interrupt cancels the activations that have begun."""
    steps = {step.host.name: step for step in batch}
    hosts = [step.host for step in batch]
    # Made here, so that an interrupt finds them whatever the threads of the hosts have come to.
    jobs = {name: new_job() for name in steps}
    try:
        results = fleet.everywhere(
            hosts,
            lambda host: activate_host(
                fleet, steps[host.name], jobs[host.name], writer, digests.get(host.name, ""), emit, ends=ends
            ),
        )
    except KeyboardInterrupt:
        emit(
            Note(
                "",
                "stopping what is under way; a second Ctrl-C says what that waits for, a third leaves it to the hosts",
            )
        )
        cancel_begun(fleet, hosts, jobs, emit)
        raise
    return _outcomes(results)


def activate_host(
    fleet: Fleet,
    step: HostPlan,
    job: str,
    writer: HistoryWriter,
    digest: str,
    emit: Emit,
    *,
    ends: bool,
) -> HostOutcome:
    """Activate the release of `step` as `job`, with the hooks of an activation; return how that ended."""
    host = step.host
    outcome = HostOutcome(host.name)
    try:
        with around(fleet, "activate", [host], emit, writer.plan.for_hooks):
            outcome = msgspec.structs.replace(outcome, job=job)
            entry = writer.entry_begun(step, job)
            activated = activate(
                fleet,
                host,
                step.release,
                writer.lease,
                entry,
                emit,
                withdraw=writer.plan.withdraw,
                ends=ends,
                digest=digest,
            )
            outcome = msgspec.structs.replace(outcome, activated=activated)
            emit_activated(fleet.inventory, step, activated, emit)
    except Problem as problem:
        return msgspec.structs.replace(outcome, problem=problem)
    return outcome


def check_changed(fleet: Fleet, rollout: Rollout, seconds: float, emit: Emit) -> tuple[CheckFailure, ...]:
    """Return which of the hosts that have changed are no longer healthy, or cannot be asked, `seconds` later."""
    hosts = [host for host in fleet.inventory.app_hosts if host.name in rollout.changed]
    found = fleet.everywhere(hosts, lambda host: fleet.run(host, read_status(fleet, host), emit))
    failures = []
    for name, state in found.items():
        if isinstance(state, Problem):
            failures.append(CheckFailure(name, state, sick=False))
        elif state.trouble:
            text = f"after {seconds:g} s it is no longer healthy: {state.trouble}"
            hint = f"`fab {fleet.inventory.name} logs -H {name}` shows what it says"
            failures.append(CheckFailure(name, Failed(text, hint, host=name), sick=True))
    return tuple(failures)


def bring_back(fleet: Fleet, policy: Policy, rollout: Rollout, writer: HistoryWriter, emit: Emit) -> Rollout:
    """Roll hosts that have changed back to what was live before, where `policy` or their health asks for that."""
    names = hosts_to_bring_back(rollout, policy)
    steps = {step.host.name: step for step in writer.plan.hosts if step.host.name in names and step.before_release}
    results = fleet.everywhere(
        [step.host for step in steps.values()],
        lambda host: bring_host_back(fleet, steps[host.name], rollout.problems.get(host.name), writer, emit),
    )
    returns = _outcomes(results)
    for outcome in returns:
        if outcome.activated is not None:
            emit(Settled(outcome.host, f"runs {steps[outcome.host].before} again", good=False))
    return msgspec.structs.replace(rollout, returns=returns)


def bring_host_back(
    fleet: Fleet, step: HostPlan, problem: Problem | None, writer: HistoryWriter, emit: Emit
) -> HostOutcome:
    """Roll one host back; `problem` is its own, or None where another host failed."""
    if problem is not None:
        # The history gives the reason first, then the roll back.
        note(fleet, writer, step, "failed", problem.message, emit)
    job = new_job()
    try:
        check_release(fleet, step.host, step.before_release, emit)
        activated = _activate_before(fleet, step, job, writer, emit)
    except Problem as failed:
        return HostOutcome(step.host.name, job, problem=failed)
    return HostOutcome(step.host.name, job, activated)


def _activate_before(fleet: Fleet, step: HostPlan, job: str, writer: HistoryWriter, emit: Emit) -> Activated:
    entry = writer.entry_of_return(step, job)
    return activate(fleet, step.host, step.before_release, writer.lease, entry, emit, withdraw=True)


def _outcomes(results: Mapping[str, HostOutcome | Problem]) -> tuple[HostOutcome, ...]:
    return tuple(
        HostOutcome(name, problem=result) if isinstance(result, Problem) else result for name, result in results.items()
    )


def _hooks(fleet: Fleet, plan: Plan, emit: Emit) -> AbstractContextManager[object]:
    """Return the context that runs the hooks of the command, or none where the plan changes no host."""
    hosts = [step.host for step in plan.hosts]
    return nullcontext() if plan.idle else around(fleet, plan.why, hosts, emit, plan.for_hooks)


@contextmanager
def _nothing_switched(plan: Plan, emit: Emit) -> Iterator[None]:
    """Emit what every host runs, where a problem ends the context's body, which switches nothing."""
    try:
        yield
    except Problem:
        emit(Note("", plan.unchanged))
        raise


def _emit_unchanged(fleet: Fleet, plan: Plan, lease: Lease, emit: Emit) -> None:
    """Emit which hosts run their release already."""
    for step in plan.hosts:
        if not step.activate:
            more = maintained(fleet.inventory.of(step.host), on=lease.facts[step.host.name].helper.maintenance)
            emit(Settled(step.host.name, f"runs already {step.release} {step.label}{more}"))


def _pause(seconds: float, emit: Emit) -> None:
    """Wait before the next hosts."""
    emit(Note("", f"waiting {seconds:g} s before the next hosts"))
    end = time.monotonic() + seconds
    # Sleep in pieces: Python handles a signal that arrives just before a sleep only after that sleep.
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))
