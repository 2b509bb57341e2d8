"""Set up hosts: gather facts, work out what differs (a pure function), apply it by one script, check by another."""

from __future__ import annotations

import secrets as entropy
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import msgspec

from warpbeam.error import Failed, Misuse, Problem, Refused, restated
from warpbeam.event import Emit, Line, Note, Settled, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.hooks import around
from warpbeam.fleet.work import gravest_problem
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.binding import check_bindings, unnamed
from warpbeam.provision.comparison import compared
from warpbeam.provision.converge import converge, inspect
from warpbeam.provision.cookie import Cookie, agreed_cookie, mint_cookie
from warpbeam.provision.difference import Difference, HostState, difference, outdated
from warpbeam.provision.footprint import footprint
from warpbeam.provision.keys import read_deploy_keys
from warpbeam.provision.lockout import check_lockout
from warpbeam.provision.owner import check_belonging
from warpbeam.provision.rights import check_rights, has_password
from warpbeam.provision.secrets import fetch_secrets

T = TypeVar("T")


class Outcome(msgspec.Struct, frozen=True):
    """The result of a setup: whether it changed anything, or would, and the hosts where the app needs a restart."""

    changed: bool
    restart: tuple[str, ...]


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
    secrets = fetch_secrets(inventory)
    keys = read_deploy_keys(inventory)
    chosen = list(inventory.hosts.values())
    others = [host.name for host in inventory.all_app_hosts if host.name not in inventory.hosts]
    if rotate_cookie and others:
        text = f"--rotate-cookie is for every app host, and -H leaves out {', '.join(others)}"
        raise Misuse(text, "leave out -H: nodes with another cookie could not talk to each other")
    asked = {host.name: host for host in inventory.all_app_hosts} | inventory.hosts
    # The key is new in each run: a digest shows whether a value differs, and nothing else.
    key = entropy.token_hex(16) if show else ""

    took: defaultdict[str, float] = defaultdict(float)
    found = fleet.everywhere(
        list(asked.values()),
        _timed(took, lambda host: inspect(fleet, host, footprint(inventory, host, secrets, "", keys), emit, key=key)),
    )
    found = _answered(found, inventory.hosts.keys(), emit)
    problem = gravest_problem(found)
    if problem is not None:
        raise _together(found, "nothing was changed on any host", _meanwhile(found, inventory, dry=dry)) from problem
    facts = {name: result for name, result in found.items() if isinstance(result, HostState)}
    if not take_over:
        check_belonging(inventory, facts)
    check_rights(inventory, facts)
    check_lockout(inventory, facts)
    check_bindings(inventory, facts)
    cookie = Cookie(mint_cookie()) if rotate_cookie else agreed_cookie(facts, left_out=others)
    wants = {
        host.name: footprint(inventory, host, secrets, cookie.value, keys, cookie_shown=cookie.shown) for host in chosen
    }
    _emit_owner(facts, inventory, cookie.value, emit)
    plans = {host.name: difference(wants[host.name], facts[host.name], host.name) for host in chosen}
    for name, plan in plans.items():
        if facts[name].cookie_shown:
            _emit_cookie(name, cookie, others, emit, dry=dry)
        _emit_plan(name, plan, facts[name], key, emit, dry=dry)
        _emit_risks(name, inventory, facts[name], emit)
    late = {name: files for name, want in wants.items() if (files := outdated(want, facts[name]))}
    changed = any(plans.values())
    if dry:
        for name, files in late.items():
            emit(Note(name, f"would need a restart of the app, for {', '.join(files)}"))
        return Outcome(changed, tuple(late))

    with around(fleet, "setup", chosen, emit):
        results = fleet.everywhere(
            chosen,
            _timed(
                took, lambda host: converge(fleet, host, plans[host.name], facts[host.name], wants[host.name], emit)
            ),
        )
        for name, result in results.items():
            if not isinstance(result, Problem):
                count = len(plans[name].sentences())
                ending = f"set up, {_counted(count)}" if count else "set up already, nothing to change"
                emit(Settled(name, f"{ending} ({took[name]:.1f} s)"))
                if name in late and not restart:
                    what = f"the app still runs with its old settings ({', '.join(late[name])})"
                    emit(Warn(name, f"{what}: `fab {inventory.name} setup --restart` restarts it, host after host"))
        if gravest_problem(results) is not None:
            raise _together(results, "run setup again when it is mended: it goes on from here")
    return Outcome(changed, tuple(late))


def _timed(took: defaultdict[str, float], work: Callable[[Host], T]) -> Callable[[Host], T]:
    """Return `work` with a clock: it adds its seconds, connecting included, to those of its host in `took`."""

    def timed(host: Host) -> T:
        began = time.monotonic()
        try:
            return work(host)
        finally:
            took[host.name] += time.monotonic() - began

    return timed


def _answered(
    found: Mapping[str, HostState | Problem], chosen: Collection[str], emit: Emit
) -> dict[str, HostState | Problem]:
    """Return `found` without left-out hosts that did not answer, if another host answered a cookie."""
    if not any(isinstance(facts, HostState) and facts.cookie for facts in found.values()):
        return dict(found)
    for name, problem in found.items():
        if isinstance(problem, Problem) and name not in chosen:
            what = problem.reason
            emit(Warn(name, f"left out, and its cookie not compared with the others': {what}"))
    return {name: facts for name, facts in found.items() if name in chosen or not isinstance(facts, Problem)}


def _emit_owner(facts: Mapping[str, HostState], inventory: Inventory, cookie: str, emit: Emit) -> None:
    """Note whose cookie a host without one takes: with it, its nodes and theirs may run code on each other's hosts."""
    having = [name for name, found in facts.items() if found.cookie == cookie]
    for host in inventory.app_hosts:
        if having and not facts[host.name].cookie:
            emit(Note(host.name, f"takes the cookie of {', '.join(having)}"))


def _meanwhile(found: Mapping[str, HostState | Problem], inventory: Inventory, *, dry: bool) -> str:
    """Return a hint how to go on without the hosts that have a problem; empty where none can."""
    known = any(isinstance(facts, HostState) and facts.cookie for facts in found.values())
    rest = [name for name in inventory.hosts if isinstance(found[name], HostState)]
    if not known or not rest:
        return ""
    command = f"fab {inventory.name} -H {','.join(rest)} setup{' --check' if dry else ''}"
    return f"meanwhile `{command}` {'asks' if dry else 'does'} the others"


def _counted(changes: int) -> str:
    return "1 change" if changes == 1 else f"{changes} changes"


def _emit_cookie(name: str, cookie: Cookie, left_out: Sequence[str], emit: Emit, *, dry: bool) -> None:
    """Report what happens to a cookie that stood in every instance's arguments, as earlier versions started them."""
    what = "the cookie, which every local user could read until now,"
    if cookie.shown:
        emit(
            Warn(name, f"{what} stays: -H leaves out {', '.join(left_out)}; `setup` of all hosts gives them a new one")
        )
        return
    by = "that of the other hosts" if cookie.joined else "a new one on all hosts"
    emit(Note(name, f"{'would change' if dry else 'changing'}: {what} replaced by {by}"))


def _emit_risks(name: str, inventory: Inventory, found: HostState, emit: Emit) -> None:
    """Warn about what setup leaves as it is on a host, and a person should mend."""
    if any(wrong := unnamed(inventory, found)):
        emit(Warn(name, f"{wrong[0]}, where systemd has BPF; here it has not: {wrong[1]}"))
    if has_password(inventory, found):
        deploy = inventory.users.deploy
        emit(Warn(name, f"{deploy} has a password: `usermod --password '*' {deploy}` there leaves keys alone"))


def _emit_plan(name: str, plan: Difference, found: HostState, key: str, emit: Emit, *, dry: bool) -> None:
    for sentence in plan.sentences():
        emit(Note(name, ("would change: " if dry else "changing: ") + sentence))
    if key:
        for file in plan.files:
            for line in compared(file, found, key):
                emit(Line(name, line))


def _together(results: Mapping[str, object], ending: str, more: str = "") -> Problem:
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    first = next(iter(problems.values()))
    hint = "; ".join(filter(None, (first.hint, more)))
    if len(problems) == 1:
        return restated(first, type(first), f"; {ending}", hint=hint)
    lines = tuple(line for problem in problems.values() for line in (*problem.details, problem.message))
    kind = Failed if any(isinstance(problem, Failed) for problem in problems.values()) else Refused
    return kind(f"{len(problems)} of {len(results)} hosts: {', '.join(problems)}; {ending}", hint, lines)
