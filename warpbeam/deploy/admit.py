"""Admission: each host's privileged helper verifies a release and keeps a copy of its own, before anything starts."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.deploy.history import HistoryWriter, note_failures
from warpbeam.deploy.lock import PARTS, LockedPhase, locked_parameters
from warpbeam.error import Failed, Problem, Refused, restated, untouched
from warpbeam.event import Emit, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import Word


class Admitted(msgspec.Struct, frozen=True):
    """The answer of an admission: `admitted`, or `known` where the host had admitted the release before.

    `off`: this host checks no signatures, because no `setup` has switched that on.
    """

    admitted: Word


class Admit(LockedPhase[Admitted], frozen=True, kw_only=True):
    """Have a release admitted; the head of `warpbeam/deploy/admit.sh` explains its fields."""

    script: ClassVar[str] = "deploy/admit"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Admitted
    helper: str
    release: str


def admit_releases(fleet: Fleet, writer: HistoryWriter, emit: Emit) -> None:
    """Have every host admit the release that it is about to activate; note a refusal in that host's history.

    Does nothing where the inventory has no `deploy.allowed_signers`.

    Raises: Refused, or Failed after an upload; nothing was switched on any host.
    """
    if not fleet.inventory.admits:
        return
    steps = {step.host.name: step for step in writer.plan.hosts if step.activate}
    results = fleet.everywhere(
        [step.host for step in steps.values()],
        lambda host: fleet.run(
            host,
            Admit(
                **locked_parameters(fleet.inventory, writer.lease.token),
                helper=helper(fleet.inventory),
                release=steps[host.name].release,
            ),
            emit,
        ),
    )
    for name, result in results.items():
        if isinstance(result, Admitted) and result.admitted == "off":
            emit(Warn(name, "this host does not check signatures yet: `fab ENV setup` switches that on"))
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if not problems:
        return
    note_failures(fleet, writer, steps, problems, emit)
    uploaded = any(step.upload for step in steps.values())
    if uploaded or not all(isinstance(problem, Refused) for problem in problems.values()):
        raise restated(next(iter(problems.values())), Failed, "; nothing was switched on any host")
    raise untouched(problems)
