"""Reboot hosts, one after the other: each is drained before its reboot, and healthy before the next."""

from __future__ import annotations

import contextlib
import math
import time
from typing import ClassVar

import msgspec

from warpbeam.deploy.history import ACTION_PARTS, action_entry
from warpbeam.deploy.lock import LEASE_SECONDS, PARTS, Lease, holding
from warpbeam.error import Failed, Lost, Problem, Refused, restated
from warpbeam.event import SOCKETS, Emit, Settled, Step, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.fleet.work import gravest_problem
from warpbeam.helper.program import helper
from warpbeam.host.answer import BootId, Count, ReleaseName
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.health import HEALTH_PARTS, HealthPhase, health_parameters
from warpbeam.host.phase import Phase
from warpbeam.inventory.schema import Host

# Seconds between two checks whether a host is back.
POLL = 1.0


class Booted(msgspec.Struct, frozen=True):
    """A host's boot id; `left` connections were open to the app when it was stopped."""

    boot: BootId
    left: Count


class AskBoot(Phase[Booted], frozen=True, kw_only=True):
    """Read the id of a host's present boot; change nothing."""

    script: ClassVar[str] = "operate/boot_id"
    answer: ClassVar[type] = Booted

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Reboot(AppPhase[Booted], frozen=True, kw_only=True):
    """Drain and stop the app, and reboot in a second; the head of `warpbeam/operate/reboot.sh` explains its fields."""

    script: ClassVar[str] = "operate/reboot"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "host/connections")
    answer: ClassVar[type] = Booted
    helper: str
    ports: tuple[int, ...]
    drain: int
    balancer_drain: int


class Serving(msgspec.Struct, frozen=True):
    """The answer of `Back`: the release that runs and is healthy, or empty if nothing is live."""

    release: ReleaseName


class Back(HealthPhase[Serving], frozen=True, kw_only=True):
    """Wait until the app is healthy again; the head of `warpbeam/operate/after_reboot.sh` explains its fields."""

    script: ClassVar[str] = "operate/after_reboot"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *ACTION_PARTS, *HEALTH_PARTS)
    answer: ClassVar[type] = Serving
    token: str
    lease: int
    entry: tuple[str, ...]


def reboot(fleet: Fleet, emit: Emit, *, timeout: float = 300) -> None:
    """Reboot every chosen host, in the inventory's order, as admin; the next only when the one before is healthy.

    Parameters:
        timeout: seconds that a host may take until a login succeeds again.

    Raises:
        Refused: a host cannot be reached, or its deploy lock is held; nothing was changed.
        Failed: a host did not come back, or is not healthy; the message names the hosts that were not touched.
    """
    hosts = list(fleet.inventory.hosts.values())
    asked = fleet.everywhere(hosts, lambda host: fleet.run(host, AskBoot(), emit, identity="admin"))
    problem = gravest_problem(asked)
    if problem is not None:
        raise restated(problem, Refused, "; no host was rebooted")
    with contextlib.ExitStack() as stack:
        # A host that only builds has no deploy lock.
        lease = (
            stack.enter_context(holding(fleet, HostSelection(), "reboot", emit)) if fleet.inventory.app_hosts else None
        )
        for index, host in enumerate(hosts):
            try:
                _reboot_one(fleet, host, lease, timeout, emit)
            except Problem as failed:
                raise _stopped(failed, hosts[:index], hosts[index + 1 :]) from None


def _reboot_one(fleet: Fleet, host: Host, lease: Lease | None, timeout: float, emit: Emit) -> None:
    began, entry = time.monotonic(), action_entry("hosts.reboot")
    inventory = fleet.inventory.of(host)
    runs_app = "app" in host.roles
    phase = Reboot(
        **app_parameters(inventory),
        helper=helper(inventory) if runs_app else "",
        ports=inventory.slot_ports(),
        drain=math.ceil(inventory.deploy.drain),
        balancer_drain=math.ceil(inventory.deploy.balancer_drain),
    )
    before = fleet.run(host, phase, emit, identity="admin")
    if before.left:
        what = "1 connection was" if before.left == 1 else f"{before.left} connections were"
        emit(Warn(host.name, f"{what} still open after {inventory.deploy.drain:g} s and cut ({SOCKETS})"))
    emit(Step(host.name, "boot"))
    _await_boot(fleet, host, before.boot, timeout)
    serves = "it does not run the app"
    if runs_app and lease is not None:
        back = Back(**health_parameters(inventory), token=lease.token, lease=LEASE_SECONDS, entry=entry)
        release = fleet.run(host, back, emit).release
        serves = f"runs {release}, healthy" if release else "nothing is live"
    emit(Settled(host.name, f"rebooted in {time.monotonic() - began:.0f} s, {serves}"))


def _await_boot(fleet: Fleet, host: Host, before: str, timeout: float) -> None:
    """Wait until a login reaches another boot than `before`. Raises: Failed, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    why = "it still runs the boot before"
    while True:
        # Close the connections from before the boot: they look alive until they are used, and longer.
        for identity in ("deploy", "admin"):
            fleet.shell(host, identity).close()
        try:
            if fleet.run(host, AskBoot(), silent).boot != before:
                return
        except (Refused, Lost) as away:
            why = away.message
        if time.monotonic() > deadline:
            raise Failed(
                f"it did not come back within {timeout:g} s: {why}",
                "look at its console; `--timeout` gives it longer",
                host=host.name,
            )
        time.sleep(POLL)


def _stopped(problem: Problem, done: list[Host], rest: list[Host]) -> Failed:
    states = []
    if done:
        states.append(f"{', '.join(host.name for host in done)} rebooted before it")
    if rest:
        states.append(f"{', '.join(host.name for host in rest)} {'was' if len(rest) == 1 else 'were'} not touched")
    kind = Lost if isinstance(problem, Lost) else Failed
    return restated(problem, kind, "".join(f"; {state}" for state in states))
