"""The status of an app: what each of its hosts runs, whether it is healthy, and what a program learns from that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec

from warpbeam.deploy.lock import PARTS
from warpbeam.error import AMISS, DONE, Problem
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import FEW, MANY, LiveSlot, ReleaseName, SlotName, Text, Word
from warpbeam.host.facts import HelperAnswer, Holder, Instance, Release, named, sifted
from warpbeam.host.health import HEALTH_PARTS, HealthPhase, health_parameters
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.network.cluster import Links, node_ports

# Seconds that an instance must have run since it last ended by itself, before it counts as healthy again.
CALM = 60


class AppStatus(msgspec.Struct, frozen=True):
    """The answer of `ReadStatus`: what a host runs; `helper` is the privileged helper's own answer.

    `belongs` is the environment that the app there belongs to; empty where an older setup did not record it.
    """

    helper: HelperAnswer
    live: LiveSlot
    slots: Annotated[dict[SlotName, ReleaseName], FEW]
    health: Text
    releases: Annotated[tuple[Release, ...], MANY]
    lock: Holder | None
    links: Links = ()
    belongs: Word = ""

    @property
    def running(self) -> Instance | None:
        """The live instance; None where nothing is live, or where the live slot has no process."""
        instance = self.helper.slots.get(self.live)
        return instance if instance is not None and instance.pid else None

    @property
    def live_release(self) -> Release | None:
        """The release that `current` leads to, or None if it does not exist."""
        return named(self.releases, self.slots.get(self.live, ""))

    @property
    def trouble(self) -> str:
        """The problem of the live instance; empty if it runs, is healthy, and was not restarted by systemd."""
        if self.verdict != "healthy":
            return self.verdict or "nothing is live"
        instance = self.helper.slots.get(self.live)
        if instance is not None and instance.restarts == 0:
            return ""
        return "it ended by itself, and systemd started it again"

    @property
    def crashing(self) -> str:
        """A sentence on recent crashes of the live instance; empty if it had none, or has run for a minute since."""
        instance = self.helper.slots.get(self.live, Instance())
        waits = instance.substate == "auto-restart"
        # systemd counts a restart only when it begins, so add the one that it waits for.
        times = instance.restarts + waits
        if times == 0 or (not waits and (instance.age is None or instance.age >= CALM)):
            return ""
        last = "" if instance.ended_ago is None else f", last {instance.ended_ago} s ago"
        return f"it ended by itself {'once' if times == 1 else f'{times} times'}{last}"

    @property
    def verdict(self) -> str:
        """`healthy`, or what is wrong; empty if nothing is live. An instance that crashes is unhealthy in any case."""
        if not self.crashing:
            return self.health
        return self.crashing if self.health == "healthy" else f"{self.crashing}; {self.health}"


class ReadStatus(HealthPhase[AppStatus], frozen=True, kw_only=True):
    """Read what is running; the head of `warpbeam/operate/status.sh` explains its fields."""

    script: ClassVar[str] = "operate/status"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HEALTH_PARTS, "network/links", "provision/owner")
    answer: ClassVar[type] = AppStatus
    environment: str
    token: str = ""
    node_ports: tuple[int, ...] = ()

    sift = staticmethod(sifted)

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return self.health_timeout


def read_status(fleet: Fleet, host: Host) -> ReadStatus:
    """Return the phase that asks a host of the fleet for its `AppStatus`."""
    return ReadStatus(
        **health_parameters(fleet.inventory.of(host)),
        node_ports=node_ports(fleet.inventory.of(host)),
        environment=fleet.inventory.name,
    )


def states(fleet: Fleet, emit: Emit) -> Mapping[str, AppStatus | Problem]:
    """Return what every app host runs, or the problem that kept us from learning it."""
    hosts = fleet.inventory.some_app_hosts()
    return fleet.everywhere(hosts, lambda host: fleet.run(host, read_status(fleet, host), emit))


def differing(found: Mapping[str, AppStatus | Problem]) -> str:
    """Return a sentence on the live release of each host if these differ; else empty."""
    where: dict[str, list[str]] = {}
    for host, state in found.items():
        if isinstance(state, AppStatus) and state.live_release is not None:
            where.setdefault(state.live_release.label, []).append(host)
    if len(where) < 2:
        return ""
    return "hosts run different releases: " + "; ".join(f"{label} on {', '.join(on)}" for label, on in where.items())


def foreign(inventory: Inventory, found: Mapping[str, AppStatus | Problem]) -> str:
    """Return a sentence on the hosts where the app belongs to another environment; empty if there is none."""
    where: dict[str, list[str]] = {}
    for host, state in found.items():
        if isinstance(state, AppStatus) and state.belongs not in ("", inventory.name):
            where.setdefault(state.belongs, []).append(host)
    if not where:
        return ""
    owners = "; ".join(f"to {name!r} on {', '.join(on)}" for name, on in where.items())
    return (
        f"{inventory.app} belongs to another environment than {inventory.name!r}: {owners}; "
        "commands that change something there refuse"
    )


def judged(found: Mapping[str, AppStatus | Problem]) -> int:
    """Return the exit code of `status`, for programs that watch it.

    AMISS if something is known to be wrong (nothing live, not running, unhealthy). It precedes the code of a host that
    is unreachable or not set up. Maintenance and a second instance are no faults: a person or a deploy wants them.
    """
    answers = [state for state in found.values() if isinstance(state, AppStatus)]
    if any(state.verdict != "healthy" for state in answers):
        return AMISS
    return max((state.code for state in found.values() if isinstance(state, Problem)), default=DONE)
