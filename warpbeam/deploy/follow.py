"""How an activation ended, read back from a host after the connection was lost."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.error import Lost, Refused
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Count, ReleaseName, SlotName
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host


class Activated(msgspec.Struct, frozen=True):
    """The answer of an activation that made a release live.

    `left` was live before (or is empty). `cut` connections were still open when the old instance was stopped.
    `maintenance`: the public port still answers with the maintenance page. `given_back` is added from `Ended`.
    """

    slot: SlotName
    release: ReleaseName
    left: ReleaseName
    pid: Count
    seconds: Count
    cut: Count = 0
    maintenance: bool = False
    given_back: bool = False


class Follow(AppPhase[Activated], frozen=True, kw_only=True):
    """Read back how an activation ended, once it has; the head of `warpbeam/deploy/follow.sh` explains its fields."""

    script: ClassVar[str] = "deploy/follow"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "deploy/result")
    answer: ClassVar[type] = Activated
    job_id: str
    patience: int


def read_back(fleet: Fleet, host: Host, job: str, patience: int, lost: Lost, emit: Emit) -> Activated:
    """Return the answer of `job`, whose connection broke; `patience` is how many seconds the host waits for its end.

    Raises:
        Failed: as the job did.
        Lost: the outcome is unknown; the message begins with that of `lost`.
    """
    phase = Follow(**app_parameters(fleet.inventory), job_id=job, patience=patience)
    try:
        return fleet.run(host, phase, emit)
    except (Lost, Refused) as unknown:
        hint = f"`fab {fleet.inventory.name} status` shows what runs; the same command again goes on from there"
        raise Lost(f"{lost.message}; {unknown.message}", hint, lost.details) from None
