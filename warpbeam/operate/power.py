"""Stop and start the live instance, without changing which release is live."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.deploy.history import ACTION_PARTS, action_entry
from warpbeam.deploy.lock import LEASE_SECONDS, PARTS, holding
from warpbeam.deploy.verify import check_releases
from warpbeam.error import Problem, restated
from warpbeam.event import Emit, Settled
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.answer import ReleaseName, StateName
from warpbeam.host.health import HEALTH_PARTS, HealthPhase, health_parameters


class Powered(msgspec.Struct, frozen=True):
    """The answer of `Power`: the live release, and the present state of its unit."""

    release: ReleaseName
    state: StateName


class Power(HealthPhase[Powered], frozen=True, kw_only=True):
    """Stop or start the live slot; the head of `warpbeam/operate/power.sh` explains its fields."""

    script: ClassVar[str] = "operate/power"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *ACTION_PARTS, *HEALTH_PARTS)
    answer: ClassVar[type] = Powered
    token: str
    lease: int
    verb: str
    entry: tuple[str, ...]


def stop_app(fleet: Fleet, emit: Emit) -> None:
    """Stop the app on every app host, one after the other; `current` stays, so a reboot or `start_app` starts it again.

    Raises: Refused, before anything was changed; Failed, with the host that could not be stopped.
    """
    _power(fleet, "stop", "is stopped, until `start` or a reboot", emit)


def start_app(fleet: Fleet, emit: Emit, *, force: bool = False) -> None:
    """Start the live release on every app host, one after the other, and wait until it is healthy.

    Parameters:
        force: also start a release that is not as it was deployed.

    Raises: as `stop_app`.
    """
    _power(fleet, "start", "runs, healthy", emit, force=force)


def _power(fleet: Fleet, verb: str, ending: str, emit: Emit, *, force: bool = False) -> None:
    inventory = fleet.inventory
    hosts = HostSelection().hosts(inventory)
    with holding(fleet, HostSelection(), verb, emit) as lease:
        if verb == "start":
            live = {name: found.live_release.name for name, found in lease.facts.items() if found.live_release}
            check_releases(fleet, [host for host in hosts if host.name in live], live, {}, emit, force=force)
        entry = action_entry(verb)
        for index, host in enumerate(hosts):
            phase = Power(
                **health_parameters(inventory.of(host)), token=lease.token, lease=LEASE_SECONDS, verb=verb, entry=entry
            )
            try:
                answer = fleet.run(host, phase, emit)
            except Problem as problem:
                rest = ", ".join(other.name for other in hosts[index + 1 :])
                ending_text = f"; {rest} not touched" if rest else ""
                raise restated(problem, type(problem), ending_text) from None
            emit(Settled(host.name, f"{answer.release} {ending}"))
