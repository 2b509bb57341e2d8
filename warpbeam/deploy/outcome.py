"""The outcome of a rollout as data: what became of each host, put together from the answers of workers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from warpbeam.deploy.follow import Activated
from warpbeam.deploy.plan import HostPlan, Plan
from warpbeam.deploy.policy import Policy
from warpbeam.error import Failed, Lost, Problem
from warpbeam.event import SOCKETS, Emit, Settled, Warn
from warpbeam.inventory.schema import Inventory


class HostOutcome(msgspec.Struct, frozen=True):
    """The outcome of one activation; `job` is its id, or empty where a hook kept it from being begun.

    `activated` is the host's answer where a release became live. There may be a `problem` all the same: a hook that
    fails after an activation does not undo it.
    """

    host: str
    job: str = ""
    activated: Activated | None = None
    problem: Problem | None = None


class CheckFailure(msgspec.Struct, frozen=True):
    """The problem of a changed host after a pause; `sick`: it answers that it is unhealthy, and is rolled back."""

    host: str
    problem: Problem
    sick: bool


class Rollout(msgspec.Struct, frozen=True):
    """The state of a rollout: activations in order, failures after a pause, and activations of previous releases."""

    outcomes: tuple[HostOutcome, ...] = ()
    failures: tuple[CheckFailure, ...] = ()
    returns: tuple[HostOutcome, ...] = ()

    @property
    def problems(self) -> dict[str, Problem]:
        """The last problem of each host that has one, by the host's name."""
        found: tuple[HostOutcome | CheckFailure, ...] = (*self.outcomes, *self.failures, *self.returns)
        return {ending.host: ending.problem for ending in found if ending.problem is not None}

    @property
    def changed(self) -> list[str]:
        """The hosts that run the new release and were not asked to go back."""
        back = {ending.host for ending in self.returns}
        return [it.host for it in self.outcomes if it.activated is not None and it.host not in back]

    @property
    def brought_back(self) -> list[str]:
        """The hosts that changed and run their previous release again."""
        return [ending.host for ending in self.returns if ending.activated is not None]

    @property
    def given_back(self) -> frozenset[str]:
        """The hosts that have taken their lock back with their activation."""
        return frozenset(it.host for it in self.outcomes if it.activated is not None and it.activated.given_back)

    def unfinished_job(self, host: str) -> str:
        """Return the id of the last activation of `host` where that failed, or never began; else an empty string."""
        last = next((ending for ending in reversed((*self.outcomes, *self.returns)) if ending.host == host), None)
        return last.job if last is not None and last.activated is None else ""


def hosts_to_bring_back(rollout: Rollout, policy: Policy) -> list[str]:
    """Return which changed hosts must go back after a failure: sick ones, and by `policy` the others too. Pure.

    A host whose activation failed is not among them: a failed activation undoes itself.
    """
    if rollout.problems and policy.on_failure == "rollback":
        return rollout.changed
    return [failure.host for failure in rollout.failures if failure.sick]


def emit_activated(inventory: Inventory, step: HostPlan, result: Activated, emit: Emit) -> None:
    """Emit what the host of `step` runs now, and what its old instance left undone."""
    if step.release == step.before_release:
        done = "started" if step.stopped else "restarted"
        ending = f"{done} {step.release} {step.label}, slot {step.slot} to {result.slot}"
    else:
        was = f"was {step.before}" if step.before_release else "the first here"
        ending = f"runs {step.release} {step.label} ({was}), slot {result.slot}"
    emit(Settled(step.host.name, ending + maintained(inventory.of(step.host), on=result.maintenance)))
    if result.cut:
        what = "1 connection was" if result.cut == 1 else f"{result.cut} connections were"
        # Not "cut": an app that stops in good order may still have finished the work on them. The kernel does not know
        # which of them are WebSockets.
        drained = f"after {inventory.deploy.drain:g} s of draining, when the old instance was stopped"
        emit(Warn(step.host.name, f"{what} still open {drained} ({SOCKETS})"))


def maintained(inventory: Inventory, *, on: bool) -> str:
    """Return what a message adds about a host whose maintenance is on."""
    port = inventory.http.port
    return f"; maintenance is on: port {port} answers 503 until `maintenance.off`" if on else ""


def rollout_problem(plan: Plan, rollout: Rollout) -> Problem:
    """Return one problem for all that failed, which says what every host runs now. Pure."""
    failed, changed, brought_back = rollout.problems, rollout.changed, rollout.brought_back
    touched = {*changed, *failed, *brought_back}
    untouched = [step.host.name for step in plan.hosts if step.activate and step.host.name not in touched]
    problems = list(failed.values())
    states = [problem.message for problem in problems]
    if changed:
        states.append(f"{_names(changed)} {'runs' if len(changed) == 1 else 'run'} {plan.label} already")
    if brought_back:
        states.append(f"{_names(brought_back)} {_were(brought_back)} brought back to what ran before")
    if untouched:
        states.append(f"{_names(untouched)} {_were(untouched)} not touched")
    kind = Lost if all(isinstance(problem, Lost) for problem in problems) else Failed
    details = tuple(line for problem in problems for line in problem.details)
    return kind("; ".join(states), problems[0].hint, details)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"
