"""Examine every host without changing anything: find what is wrong there, and how to mend it."""

from __future__ import annotations

import secrets as entropy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from warpbeam.deploy.verify import Verdict, verify
from warpbeam.doctor import diagnosis
from warpbeam.doctor.admitted import AdmittedState, read_admitted, signers
from warpbeam.doctor.app_needs import app_needs
from warpbeam.doctor.examine import Examination
from warpbeam.doctor.finding import Finding
from warpbeam.doctor.sight import sight
from warpbeam.error import Problem, Refused
from warpbeam.event import Emit, Step, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Text
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.phase import Phase
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.signers import read_signers
from warpbeam.network.cluster import mates, node_ports
from warpbeam.operate.status import AppStatus, read_status
from warpbeam.provision.app_template import etc
from warpbeam.provision.converge import inspect
from warpbeam.provision.difference import difference
from warpbeam.provision.footprint import Footprint, footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.keys import read_deploy_keys
from warpbeam.provision.other_apps import check_other_apps
from warpbeam.provision.owner import check_belonging
from warpbeam.version import VERSION

T = TypeVar("T")


class Examine(AppPhase[Examination], frozen=True, kw_only=True):
    """Read, as root, what setup does not compare; the head of `warpbeam/doctor/examine.sh` explains its fields."""

    script: ClassVar[str] = "doctor/examine"
    parts: ClassVar[tuple[str, ...]] = (
        "host/common",
        "host/layout",
        "host/instance",
        "provision/mask",
        "host/listeners",
        "network/links",
    )
    answer: ClassVar[type] = Examination
    app_user: str
    etc: str
    key: str
    node_ports: tuple[int, ...] = ()
    mates: tuple[str, ...] = ()

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Greeting(msgspec.Struct, frozen=True):
    """The answer of `Greet`: the user that the login runs as."""

    user: Text


class Greet(Phase[Greeting], frozen=True, kw_only=True):
    """Run a script that only answers: this proves that a login runs scripts."""

    script: ClassVar[str] = "provision/greet"
    answer: ClassVar[type] = Greeting

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Checkup(msgspec.Struct, frozen=True):
    """The results for one host: each is a fact, or the problem that kept us from it.

    `verdicts` are those of its releases, `state` is what runs and `admitted` what it admitted, if it runs the app.
    `asked` and `received` are when we asked the host and when it answered, in seconds since the epoch, by this
    machine's clock.
    """

    deploy: Problem | None
    found: HostState | Problem
    seen: Examination | Problem
    asked: float
    received: float
    verdicts: Mapping[str, Verdict] | Problem
    state: AppStatus | Problem | None = None
    admitted: AdmittedState | Problem | None = None


def examine(fleet: Fleet, emit: Emit) -> list[Finding]:
    """Return one finding for each check of each chosen host, in the inventory's order; change nothing, fetch no secret.

    Raises: Misuse, where `deploy_keys` or a file of signers cannot be read.
    """
    inventory = fleet.inventory
    allowed, _ = read_signers(inventory)
    hosts = list(inventory.hosts.values())
    keys = read_deploy_keys(inventory)
    # The key is new in each run, so that digests show which hosts agree and nothing else.
    key = entropy.token_hex(32)

    def want(host: Host, cookie: str = "") -> Footprint:
        return footprint(inventory, host, {}, cookie, keys)

    def one(host: Host) -> Checkup:
        emit(Step(host.name, "examine"))
        return _look(fleet, host, want(host), key)

    looks: dict[str, Checkup] = {}
    for name, checkup in fleet.everywhere(hosts, one).items():
        if isinstance(checkup, Problem):
            # A problem of the inventory: those of a host are in its checkup.
            raise checkup
        looks[name] = checkup
    seen = {
        host.name: result for host in inventory.app_hosts if isinstance(result := looks[host.name].seen, Examination)
    }
    agreed: dict[str, list[Finding]] = {host.name: [] for host in hosts}
    for finding in (*diagnosis.agreement(inventory, seen), *sight(inventory, seen)):
        agreed[finding.host].append(finding)
    findings: list[Finding] = []
    for host in hosts:
        look = looks[host.name]
        cookie = look.found.cookie if isinstance(look.found, HostState) else ""
        findings += [*_findings(fleet, host, want(host, cookie), look), *agreed[host.name]]
        if look.admitted is not None and not isinstance(look.seen, Problem):
            findings.append(signers(host.name, inventory, look.admitted, look.found, look.seen, allowed))
    return findings


def rows(findings: Sequence[Finding], inventory: Inventory) -> list[dict[str, Any]]:
    """Return findings for JSON, each with the version of Warpbeam that made it."""
    groups = inventory.group_column()
    return [
        {
            "host": each.host,
            **({"group": groups[each.host]} if each.host in groups else {}),
            "check": each.check,
            "ok": each.good,
            "found": each.found,
            "mend": each.mend,
            "warpbeam": VERSION,
        }
        for each in findings
    ]


def _look(fleet: Fleet, host: Host, want: Footprint, key: str) -> Checkup:
    inventory = fleet.inventory
    is_app = "app" in host.roles

    def deploy() -> None:
        # Log in and run a script, as every command does: sshd may accept a login that then runs nothing.
        fleet.run(host, Greet(), silent)

    def as_root() -> tuple[Examination, float]:
        phase = Examine(
            **app_parameters(inventory),
            app_user=inventory.app_user if is_app else "",
            etc=etc(inventory) if is_app else "",
            key=key,
            node_ports=node_ports(inventory.of(host)) if is_app else (),
            mates=tuple(mate.address or "" for mate in mates(inventory, host)) if is_app else (),
        )
        return fleet.run(host, phase, silent, identity="admin"), time.time()

    deployed = _tried(deploy)
    asked = time.time()
    seen = _tried(as_root)
    # `inspect` needs root as well: if `examine.sh` could not become root, `inspect` would fail alike.
    found = seen if isinstance(seen, Problem) else _tried(lambda: inspect(fleet, host, want, silent))
    # If the deploy user cannot log in, that finding is enough: releases are not verified.
    verdicts = _tried(lambda: verify(fleet, host, (), silent)) if is_app and deployed is None else {}
    state = _tried(lambda: fleet.run(host, read_status(fleet, host), silent)) if is_app and deployed is None else None
    asks = inventory.admits and is_app and deployed is None
    admitted = _tried(lambda: read_admitted(fleet, host)) if asks else None
    # `examine.sh` reads the host's clock last, so `as_root` takes our time right after it.
    if isinstance(seen, Problem):
        return Checkup(deployed, found, seen, asked, asked, verdicts, state, admitted)
    return Checkup(deployed, found, seen[0], asked, seen[1], verdicts, state, admitted)


def _tried(work: Callable[[], T]) -> T | Problem:
    """Return the result of `work`, or the problem that it raised."""
    try:
        return work()
    except Problem as problem:
        return problem


def _findings(fleet: Fleet, host: Host, want: Footprint, look: Checkup) -> Iterator[Finding]:
    """Yield the findings from a host's facts, as far as there are any."""
    inventory, name = fleet.inventory, host.name
    away = look.deploy or (look.seen if isinstance(look.seen, Refused) else None)
    if away is not None:
        yield Finding(name, "ssh", False, away.reason, away.hint)
    else:
        yield Finding(name, "ssh", True, f"{inventory.users.deploy} and the admin may log in")
    if isinstance(look.seen, Problem):
        if not isinstance(look.seen, Refused):
            yield Finding(name, "sudo", False, look.seen.reason, look.seen.hint)
        return
    yield from _converged(fleet, host, want, look.found, look.seen)
    yield from diagnosis.machine(name, look.seen, look.asked, look.received)
    if "app" in host.roles:
        yield diagnosis.live(name, inventory, look.state, look.seen)
        yield from app_needs(name, inventory.of(host), look.seen)
        yield diagnosis.contents(name, look.verdicts)
    apps = look.found.others if isinstance(look.found, HostState) else ()
    yield diagnosis.logins(host, inventory, look.seen, apps)


def _converged(
    fleet: Fleet, host: Host, want: Footprint, found: HostState | Problem, seen: Examination
) -> Iterator[Finding]:
    """Yield the findings on what setup compares."""
    inventory, name = fleet.inventory, host.name
    if isinstance(found, Problem):
        yield Finding(name, "setup", False, found.reason, found.hint)
        return
    wrong = list(diagnosis.helpers(inventory, found)) if "app" in host.roles else []
    if wrong:
        yield Finding(name, "sudo", False, wrong[0], f"`fab {inventory.name} setup`; see /etc/sudoers.d on the host")
    else:
        also = f", and {inventory.users.deploy} may ask the privileged helper" if "app" in host.roles else ""
        yield Finding(name, "sudo", True, f"the admin may become root{also}")
    yield diagnosis.rights(name, inventory, found)
    want, found = without_secrets(want, found, f"{etc(inventory)}/secrets.env")
    try:
        check_belonging(inventory, {name: found})
        check_other_apps(inventory, {name: found.others})
        plan = difference(want, found, name)
    except Problem as refused:
        yield Finding(name, "setup", False, refused.reason, refused.hint)
        return
    yield from diagnosis.converged(name, want, plan, found, seen, inventory.name)


def without_secrets(want: Footprint, found: HostState, path: str) -> tuple[Footprint, HostState]:
    """Return both as if the secrets file had the right content, since no values were fetched; owner and mode count."""
    file = next((file for file in want.files if file.path == path), None)
    there = found.paths.get(path)
    if file is None or there is None:
        return want, found
    same = msgspec.structs.replace(there, sha256=file.sha256)
    return want, msgspec.structs.replace(found, paths={**found.paths, path: same})
