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
from warpbeam.probe import Probing, probe


class Job(Probing[None], frozen=True, kw_only=True):
    """The activation's job, which runs on the host without us; fields as `scripts/activation.sh` tells."""

    script: ClassVar[str] = "activation"
    parts: ClassVar[tuple[str, ...]] = ("common", "layout", "health")
    release: str
    strategy: str
    drain: int
    balancer_drain: int
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
    job = Job(
        **probe(inventory),
        release=release,
        strategy=inventory.deploy.strategy,
        drain=math.ceil(inventory.deploy.drain),
        balancer_drain=math.ceil(inventory.deploy.balancer_drain),
        withdraw=withdraw,
    )
    phase = Activate(str(inventory.root), inventory.app, door(inventory), lease.token, LEASE, render(job).decode())
    return fleet.run(host, phase, tell)
