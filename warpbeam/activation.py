"""Making a release live on one host: a job of the host's own, which we only follow."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from warpbeam.event import Tell
from warpbeam.fleet import Fleet
from warpbeam.footprint import door
from warpbeam.inventory import Host
from warpbeam.lease import LEASE, PARTS, Lease
from warpbeam.phase import Phase, render


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
    """What an activation ended with: `left` was live before (or is empty), `cut` connections were open at its end."""

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


def activate(fleet: Fleet, host: Host, release: str, lease: Lease, tell: Tell, *, withdraw: bool) -> Activated:
    """Put `release`, which is on `host`, live there, by the inventory's strategy.

    Parameters:
        withdraw: mark the release that is left as rolled back from.

    Raises:
        Failed: it did not become live; the message says what serves now.
        Lost: the host stopped answering: the job goes on there without us.
    """
    inventory = fleet.inventory
    health = inventory.health
    job = Job(
        root=str(inventory.root),
        app=inventory.app,
        door=door(inventory),
        release=release,
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
    phase = Activate(str(inventory.root), inventory.app, door(inventory), lease.token, LEASE, render(job).decode())
    return fleet.run(host, phase, tell)
