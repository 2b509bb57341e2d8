"""The end of a rollout on its hosts: prune, complete the history, give the lock back."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from warpbeam.deploy.history import HISTORY_PARTS, HistoryWriter
from warpbeam.deploy.lock import PARTS, LockedPhase, locked_parameters
from warpbeam.deploy.outcome import Rollout
from warpbeam.deploy.plan import HostPlan
from warpbeam.error import Problem
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import FEW, ReleaseName


class Finished(msgspec.Struct, frozen=True):
    """The answer of a finished host: the releases that it removed."""

    pruned: Annotated[tuple[ReleaseName, ...], FEW]


class Finish(LockedPhase[Finished], frozen=True, kw_only=True):
    """Prune, write what the history lacks, give the lock back."""

    script: ClassVar[str] = "deploy/finish"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HISTORY_PARTS, "deploy/prune")
    answer: ClassVar[type] = Finished
    keep: int
    entry: str
    job_id: str


def finish_hosts(fleet: Fleet, rollout: Rollout, writer: HistoryWriter, emit: Emit) -> list[Problem]:
    """Finish every host that has not done that with its activation, and note which have given the lock back.

    Returns the problems of hosts that could not be finished.
    """
    steps = {step.host.name: step for step in writer.plan.hosts if step.host.name not in rollout.given_back}
    finished = fleet.everywhere(
        [step.host for step in steps.values()],
        lambda host: fleet.run(host, _finish(fleet, steps[host.name], rollout, writer), emit),
    )
    problems = {name: ending for name, ending in finished.items() if isinstance(ending, Problem)}
    writer.lease.given_back.update(rollout.given_back, steps.keys() - problems)
    return list(problems.values())


def _finish(fleet: Fleet, step: HostPlan, rollout: Rollout, writer: HistoryWriter) -> Finish:
    """Return the phase for one host; it notes the host's problem, unless the host was brought back after that."""
    name = step.host.name
    problem, job = rollout.problems.get(name), rollout.unfinished_job(name)
    if problem is None or name in rollout.brought_back:
        entry = ""
    else:
        entry = writer.ending(step, "failed", problem.message, job)
    return Finish(
        **locked_parameters(fleet.inventory, writer.lease.token),
        keep=fleet.inventory.deploy.keep,
        entry=entry,
        job_id=job,
    )
