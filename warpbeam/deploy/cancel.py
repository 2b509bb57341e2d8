"""Cancel an activation: ask it to stop, and report how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from warpbeam.deploy.activate import Activate
from warpbeam.deploy.follow import Activated
from warpbeam.event import Emit, Settled
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Text
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.phase import script_name
from warpbeam.inventory.schema import Host


class Undone(msgspec.Struct, frozen=True):
    """The message of an activation that failed."""

    message: Text


class Ending(msgspec.Struct, frozen=True):
    """The end of an activation: it failed, or its release became live."""

    failed: Undone | None = None
    answer: Activated | None = None


class Cancel(AppPhase[Ending], frozen=True, kw_only=True):
    """Ask an activation to stop, and wait for its end; the head of `warpbeam/deploy/cancel.sh` explains its fields."""

    script: ClassVar[str] = "deploy/cancel"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "deploy/result")
    answer: ClassVar[type] = Ending
    job_id: str


def cancel(fleet: Fleet, host: Host, job: str, emit: Emit) -> None:
    """Stop the activation `job` on `host` where it can still be undone, and emit what serves there now.

    Raises: Refused, where the activation never began.
    """
    inventory = fleet.inventory
    ending = fleet.run(host, Cancel(**app_parameters(inventory), job_id=job), emit)
    if ending.failed is not None:
        emit(Settled(host.name, ending.failed.message, good=False))
    elif ending.answer is not None:
        emit(Settled(host.name, f"runs {ending.answer.release}: it was too late to stop"))


def cancel_begun(fleet: Fleet, hosts: Sequence[Host], jobs: Mapping[str, str], emit: Emit) -> None:
    """Stop the activations `jobs`, by the host's name, on those of `hosts` where they began and have not answered.

    A host that was not asked to begin, or has answered, is not asked again.
    """
    begun = [host for host in hosts if fleet.activity.phases.get((host.name, script_name(Activate))) is False]
    fleet.everywhere(begun, lambda host: cancel(fleet, host, jobs[host.name], emit))
