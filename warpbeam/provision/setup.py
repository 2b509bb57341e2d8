"""Set up hosts: gather facts, work out what differs (a pure function), apply it by one script, check by another."""

from __future__ import annotations

import secrets as entropy
import time
from collections.abc import Collection, Mapping, Sequence

import msgspec

from warpbeam.error import Failed, Misuse, Problem, Refused, restated
from warpbeam.event import Emit, Note, Settled, Warn
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import gravest_problem
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.signers import read_signers
from warpbeam.provision.admissible import check_live
from warpbeam.provision.app_files import check_sources
from warpbeam.provision.app_template import etc
from warpbeam.provision.binding import check_bindings
from warpbeam.provision.converge import converge, inspect
from warpbeam.provision.cookie import Cookie, agreed_cookie, mint_cookie
from warpbeam.provision.difference import Difference, difference, outdated
from warpbeam.provision.footprint import Footprint, footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.keys import read_deploy_keys
from warpbeam.provision.lockout import check_lockout
from warpbeam.provision.other_apps import check_other_apps
from warpbeam.provision.owner import check_belonging
from warpbeam.provision.preview import emit_cookie, emit_difference, emit_owner, emit_risks
from warpbeam.provision.rights import check_rights
from warpbeam.provision.secrets import fetch_host_secrets


class Outcome(msgspec.Struct, frozen=True):
    """The result of a setup: whether it changed anything, or would, and the hosts where the app needs a restart."""

    changed: bool
    restart: tuple[str, ...]


class Material(msgspec.Struct, frozen=True):
    """The parts of footprints that come from outside of the inventory: each chosen host's secrets, and deploy keys."""

    secrets: dict[str, dict[str, str]]
    keys: tuple[str, ...] | None


class Inspection(msgspec.Struct, frozen=True):
    """The facts of one host, and the seconds that it took to connect and ask for them."""

    facts: HostState
    seconds: float


class HostPlan(msgspec.Struct, frozen=True):
    """The facts of one host, the footprint that it should have, and the change from one to the other.

    `late` are the files for which the running app needs a restart.
    """

    host: Host
    inspection: Inspection
    want: Footprint
    change: Difference
    late: tuple[str, ...]


def set_up(
    fleet: Fleet,
    emit: Emit,
    *,
    rotate_cookie: bool = False,
    dry: bool = False,
    show: bool = False,
    restart: bool = False,
    take_over: bool = False,
) -> Outcome:
    """Give every host of the fleet what its roles need.

    App hosts that -H leaves out are asked for the cookie, so that a new host joins them. One that does not answer is no
    obstacle if another host has a cookie. A cookie that other users could read is replaced on all hosts at once.

    Parameters:
        rotate_cookie: give all hosts a new cookie.
        dry: only report what would change.
        show: also report how files differ, without secrets.
        restart: the caller restarts the app where it is needed; otherwise warnings name those hosts.
        take_over: also set up hosts that belong to another environment.

    Raises:
        Misuse, Refused: before anything was changed.
        Failed: a host could not be set up; events report the others.
    """
    inventory = fleet.inventory
    check_sources(inventory)
    # Before any host is asked, and a person for secrets: a file of this machine that is missing or wrong.
    read_signers(inventory)
    material = Material(fetch_host_secrets(inventory), read_deploy_keys(inventory))
    left_out = [host.name for host in inventory.all_app_hosts if host.name not in inventory.hosts]
    if rotate_cookie:
        _check_whole(left_out)
    # The key is new in each run: a digest shows whether a value differs, and nothing else.
    key = entropy.token_hex(16) if show else ""

    found = _inspect_hosts(fleet, material, key, emit)
    inspections = _check_answers(inventory, found, emit, dry=dry)
    facts = {name: each.facts for name, each in inspections.items()}
    _check_facts(inventory, facts, take_over=take_over)
    check_live(fleet, facts, etc(inventory), emit)
    cookie = Cookie(mint_cookie()) if rotate_cookie else agreed_cookie(facts, left_out=left_out)
    emit_owner(facts, inventory, cookie.value, emit)
    plans = [_plan_host(inventory, host, inspections[host.name], material, cookie) for host in inventory.hosts.values()]
    _emit_plans(inventory, plans, cookie, left_out, key, emit, dry=dry)
    outcome = Outcome(any(plan.change for plan in plans), tuple(plan.host.name for plan in plans if plan.late))
    if dry:
        _emit_late(plans, emit)
        return outcome

    with around(fleet, "setup", list(inventory.hosts.values()), emit):
        results = _converge_hosts(fleet, plans, emit)
        _emit_results(inventory, plans, results, emit, restart=restart)
        if gravest_problem(results) is not None:
            raise _together(results, "run setup again when it is mended: it goes on from here")
    return outcome


def _check_whole(left_out: Sequence[str]) -> None:
    """Check that -H leaves out no app host. Raises: Misuse."""
    if left_out:
        text = f"--rotate-cookie is for every app host, and -H leaves out {', '.join(left_out)}"
        raise Misuse(text, "leave out -H: nodes with another cookie could not talk to each other")


def _inspect_hosts(fleet: Fleet, material: Material, key: str, emit: Emit) -> dict[str, Inspection | Problem]:
    """Return the facts of the chosen hosts and of all app hosts."""
    inventory = fleet.inventory
    asked = {host.name: host for host in inventory.all_app_hosts} | inventory.hosts

    def inspect_host(host: Host) -> Inspection:
        began = time.monotonic()
        want = footprint(inventory, host, material.secrets.get(host.name, {}), "", material.keys)
        facts = inspect(fleet, host, want, emit, key=key)
        return Inspection(facts, time.monotonic() - began)

    return fleet.everywhere(list(asked.values()), inspect_host)


def _check_answers(
    inventory: Inventory, found: Mapping[str, Inspection | Problem], emit: Emit, *, dry: bool
) -> dict[str, Inspection]:
    """Return the facts of the hosts that answered. Raises: Problem, where a host that setup needs did not."""
    needed = _answered(found, inventory.hosts.keys(), emit)
    problem = gravest_problem(needed)
    if problem is not None:
        raise _together(needed, "nothing was changed on any host", _meanwhile(needed, inventory, dry=dry)) from problem
    return {name: result for name, result in needed.items() if isinstance(result, Inspection)}


def _answered(
    found: Mapping[str, Inspection | Problem], chosen: Collection[str], emit: Emit
) -> dict[str, Inspection | Problem]:
    """Return `found` without left-out hosts that did not answer, if another host answered a cookie."""
    if not any(isinstance(each, Inspection) and each.facts.cookie for each in found.values()):
        return dict(found)
    for name, problem in found.items():
        if isinstance(problem, Problem) and name not in chosen:
            what = problem.reason
            emit(Warn(name, f"left out, and its cookie not compared with the others': {what}"))
    return {name: each for name, each in found.items() if name in chosen or not isinstance(each, Problem)}


def _meanwhile(found: Mapping[str, Inspection | Problem], inventory: Inventory, *, dry: bool) -> str:
    """Return a hint how to go on without the hosts that have a problem; empty where none can."""
    known = any(isinstance(each, Inspection) and each.facts.cookie for each in found.values())
    rest = [name for name in inventory.hosts if isinstance(found[name], Inspection)]
    if not known or not rest:
        return ""
    command = f"fab {inventory.name} -H {','.join(rest)} setup{' --check' if dry else ''}"
    return f"meanwhile `{command}` {'asks' if dry else 'does'} the others"


def _check_facts(inventory: Inventory, facts: Mapping[str, HostState], *, take_over: bool) -> None:
    """Check that nothing on the hosts stands against their setup. Raises: Refused."""
    if not take_over:
        check_belonging(inventory, facts)
    check_other_apps(inventory, {name: each.others for name, each in facts.items()})
    check_rights(inventory, facts)
    check_lockout(inventory, facts)
    check_bindings(inventory, facts)


def _plan_host(
    inventory: Inventory, host: Host, inspection: Inspection, material: Material, cookie: Cookie
) -> HostPlan:
    """Return what setup does on `host`. Pure. Raises: Refused, as `difference`."""
    secrets = material.secrets[host.name]
    want = footprint(inventory, host, secrets, cookie.value, material.keys, cookie_shown=cookie.shown)
    change = difference(want, inspection.facts, host.name)
    return HostPlan(host, inspection, want, change, outdated(want, inspection.facts))


def _emit_plans(
    inventory: Inventory,
    plans: Sequence[HostPlan],
    cookie: Cookie,
    left_out: Sequence[str],
    key: str,
    emit: Emit,
    *,
    dry: bool,
) -> None:
    for plan in plans:
        name, facts = plan.host.name, plan.inspection.facts
        if facts.cookie_shown:
            emit_cookie(name, cookie, left_out, emit, dry=dry)
        emit_difference(name, plan.change, facts, key, emit, dry=dry)
        emit_risks(name, inventory, facts, emit)


def _emit_late(plans: Sequence[HostPlan], emit: Emit) -> None:
    for plan in plans:
        if plan.late:
            emit(Note(plan.host.name, f"would need a restart of the app, for {', '.join(plan.late)}"))


def _converge_hosts(fleet: Fleet, plans: Sequence[HostPlan], emit: Emit) -> dict[str, float | Problem]:
    """Apply each host's plan; return the seconds that its setup took, its inspection included, or its problem."""
    by_name = {plan.host.name: plan for plan in plans}

    def converge_host(host: Host) -> float:
        began = time.monotonic()
        plan = by_name[host.name]
        converge(fleet, host, plan.change, plan.inspection.facts, plan.want, emit)
        return plan.inspection.seconds + time.monotonic() - began

    return fleet.everywhere([plan.host for plan in plans], converge_host)


def _emit_results(
    inventory: Inventory,
    plans: Sequence[HostPlan],
    results: Mapping[str, float | Problem],
    emit: Emit,
    *,
    restart: bool,
) -> None:
    """Report the hosts that are set up, and, unless the caller restarts the app, those where it needs that."""
    for plan in plans:
        name, seconds = plan.host.name, results[plan.host.name]
        if isinstance(seconds, Problem):
            continue
        count = len(plan.change.sentences())
        changes = "1 change" if count == 1 else f"{count} changes"
        ending = f"set up, {changes}" if count else "set up already, nothing to change"
        emit(Settled(name, f"{ending} ({seconds:.1f} s)"))
        if plan.late and not restart:
            what = f"the app still runs with its old settings ({', '.join(plan.late)})"
            emit(Warn(name, f"{what}: `fab {inventory.name} setup --restart` restarts it, host after host"))


def _together(results: Mapping[str, object], ending: str, more: str = "") -> Problem:
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    first = next(iter(problems.values()))
    hint = "; ".join(filter(None, (first.hint, more)))
    if len(problems) == 1:
        return restated(first, type(first), f"; {ending}", hint=hint)
    lines = tuple(line for problem in problems.values() for line in (*problem.details, problem.message))
    kind = Failed if any(isinstance(problem, Failed) for problem in problems.values()) else Refused
    return kind(f"{len(problems)} of {len(results)} hosts: {', '.join(problems)}; {ending}", hint, lines)
