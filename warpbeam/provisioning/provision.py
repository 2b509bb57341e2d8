"""Setting hosts up: facts are gathered, a pure function works out what differs, one script applies it, one checks."""

from __future__ import annotations

import secrets as entropy
import string
from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec

from warpbeam.error import Failed, Misuse, Problem, Refused
from warpbeam.event import Note, Settled, Step, Tell, Warn
from warpbeam.fleet import Fleet, first_problem
from warpbeam.inventory import Host, Inventory
from warpbeam.phase import Phase
from warpbeam.provisioning.difference import Difference, Found, difference
from warpbeam.provisioning.footprint import DOOR_VERSION, Footprint, door, etc, footprint
from warpbeam.provisioning.secrets import fetch_secrets

# 43 characters of 62 are 256 bits. Alphanumeric, because others break boot scripts and rpc (facts of the field).
COOKIE_LENGTH = 43


class Inspect(Phase[Found], frozen=True):
    """Read what setup compares with; changes nothing."""

    script: ClassVar[str] = "inspect"
    answer: ClassVar[type] = Found
    users: tuple[str, ...]
    paths: tuple[str, ...]
    units: tuple[str, ...]
    cookie_file: str
    programs: tuple[str, ...]


class Changed(msgspec.Struct, frozen=True):
    """Converge's answer."""

    changed: bool


class Converge(Phase[Changed], frozen=True):
    """Make what differs so; fields as `scripts/converge.sh` tells."""

    script: ClassVar[str] = "converge"
    answer: ClassVar[type] = Changed
    users: tuple[str, ...]
    directories: tuple[str, ...]
    files: tuple[str, ...]
    units: tuple[str, ...]
    reconcile: str


class DoorAnswer(msgspec.Struct, frozen=True):
    """The root door's version, asked as the deploy user."""

    version: str


class Knock(Phase[DoorAnswer], frozen=True):
    """Ask the root door its version, through sudo, as the deploy user."""

    script: ClassVar[str] = "knock"
    answer: ClassVar[type] = DoorAnswer
    door: str


def mint_cookie() -> str:
    """A new cookie of 256 bits."""
    alphabet = string.ascii_letters + string.digits
    return "".join(entropy.choice(alphabet) for _ in range(COOKIE_LENGTH))


def agreed_cookie(found: Mapping[str, Found]) -> str:
    """The cookie that hosts have, or a new one where none has any: a new host joins, it does not mint.

    Raises:
        Refused: hosts have different ones.
    """
    have = {name: facts.cookie for name, facts in found.items() if facts.cookie}
    if len(set(have.values())) > 1:
        raise Refused(
            f"hosts have different cookies: {', '.join(sorted(have))}",
            "`setup --rotate-cookie` gives all of them a new one; restart the app afterwards",
        )
    return next(iter(have.values()), "") or mint_cookie()


def read_deploy_keys(inventory: Inventory) -> tuple[str, ...]:
    """The public keys that may log in as the deploy user, as lines of authorized_keys.

    Raises:
        Misuse: a file of `deploy_keys` cannot be read or holds no public key.
    """
    lines: list[str] = []
    for index, entry in enumerate(inventory.deploy_keys):
        where = f"{inventory.file}: deploy_keys[{index}]"
        if " " in entry.strip():
            lines.append(entry.strip())
            continue
        try:
            with open(entry) as file:  # noqa: PTH123 (already an absolute path, as text)
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise Misuse(f"{where}: {entry} cannot be read: {reason}") from None
        found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not found or any("PRIVATE KEY" in line for line in found):
            raise Misuse(f"{where}: {entry} holds no public key", "name the .pub file")
        lines += found
    return tuple(dict.fromkeys(lines))


def set_up(fleet: Fleet, tell: Tell, *, rotate_cookie: bool = False, dry: bool = False) -> bool:
    """Make every host of the fleet what its roles need; true when anything was (or, `dry`, would be) changed.

    App hosts that -H leaves out are asked for the cookie, so that a new host joins them.

    Parameters:
        rotate_cookie: give all hosts a new cookie.
        dry: only tell what would change.

    Raises:
        Misuse, Refused: before anything was changed.
        Failed: a host could not be made so; the others are told.
    """
    inventory = fleet.inventory
    secrets = fetch_secrets(inventory)
    keys = read_deploy_keys(inventory)
    chosen = list(inventory.hosts.values())
    asked = {host.name: host for host in inventory.all_hosts.values() if "app" in host.roles}
    asked |= inventory.hosts

    found = fleet.everywhere(list(asked.values()), lambda host: _inspect(fleet, host, tell))
    problem = first_problem(found)
    if problem is not None:
        raise _together(found, "nothing was changed on any host") from problem
    facts = {name: result for name, result in found.items() if isinstance(result, Found)}
    cookie = mint_cookie() if rotate_cookie else agreed_cookie(facts)
    wants = {host.name: footprint(inventory, host, secrets, cookie, keys) for host in chosen}
    plans = {host.name: difference(wants[host.name], facts[host.name], host.name) for host in chosen}
    for name, plan in plans.items():
        for sentence in plan.sentences():
            tell(Note(name, ("would change: " if dry else "changing: ") + sentence))
    if dry:
        return any(plans.values())

    results = fleet.everywhere(chosen, lambda host: _converge(fleet, host, plans[host.name], wants[host.name], tell))
    for name, result in results.items():
        if not isinstance(result, Problem):
            count = len(plans[name].sentences())
            tell(Settled(name, f"set up, {count} changes" if count else "set up already, nothing to change"))
            if any("restart" in file.needs for file in plans[name].files) and _is_live(facts[name], inventory):
                tell(Warn(name, f"the running app keeps its old settings until `fab {inventory.name} restart`"))
    if first_problem(results) is not None:
        raise _together(results, "run setup again when it is mended: it goes on from here")
    return any(plans.values())


def _is_live(found: Found, inventory: Inventory) -> bool:
    return f"{inventory.root}/current" in found.paths


def _together(results: Mapping[str, object], ending: str) -> Problem:
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    first = next(iter(problems.values()))
    if len(problems) == 1:
        return type(first)(f"{first.message}; {ending}", first.hint, first.details)
    lines = tuple(line for problem in problems.values() for line in (*problem.details, problem.message))
    kind = Failed if any(isinstance(problem, Failed) for problem in problems.values()) else Refused
    return kind(f"{len(problems)} of {len(results)} hosts: {', '.join(problems)}; {ending}", first.hint, lines)


def _inspect(fleet: Fleet, host: Host, tell: Tell) -> Found:
    inventory = fleet.inventory
    # Contents do not matter here: only which names and paths there are to look at.
    want = footprint(inventory, host, dict.fromkeys(inventory.secrets, ""), "", ("x",))
    tell(Step(host.name, "inspect"))
    is_app = "app" in host.roles
    phase = Inspect(
        users=tuple(user.name for user in want.users),
        paths=(*_paths(want), f"{inventory.root}/current"),
        units=want.units,
        cookie_file=f"{etc(inventory)}/cookie.env" if is_app else "",
        programs=("nft", "sudo", "visudo", "setpriv", "ss", "flock") if is_app else ("tar",),
    )
    found = fleet.run(host, phase, tell, identity="admin")
    if found.missing:
        raise Refused(
            f"{host.name}: {', '.join(found.missing)} {'is' if len(found.missing) == 1 else 'are'} not installed",
            "on Debian: apt-get install nftables sudo util-linux iproute2",
        )
    return found


def _paths(want: Footprint) -> Iterable[str]:
    yield from (directory.path for directory in want.directories)
    yield from (file.path for file in want.files)


def _converge(fleet: Fleet, host: Host, plan: Difference, want: Footprint, tell: Tell) -> None:
    inventory = fleet.inventory
    is_app = "app" in host.roles
    if plan:
        nft = any(file.needs == "nft" for file in plan.files)
        phase = Converge(
            users=tuple(part for user in plan.users for part in (user.name, user.home, str(user.login).lower())),
            directories=tuple(
                part for item in plan.directories for part in (item.path, item.mode, item.owner, item.group)
            ),
            files=tuple(
                part
                for file in plan.files
                for part in (file.path, file.mode, file.owner, file.group, file.needs, file.content)
            ),
            units=plan.units,
            reconcile=door(inventory) if is_app and nft else "",
        )
        fleet.run(host, phase, tell, identity="admin")
        _check_converged(fleet, host, want, tell)
    if is_app:
        answer = fleet.run(host, Knock(door(inventory)), tell)
        if answer.version != DOOR_VERSION:
            raise Failed(f"{host.name}: the root door answers version {answer.version}; expected {DOOR_VERSION}")


def _check_converged(fleet: Fleet, host: Host, want: Footprint, tell: Tell) -> None:
    tell(Step(host.name, "check"))
    left = difference(want, _inspect(fleet, host, lambda event: None), host.name)
    if left:
        raise Failed(f"{host.name}: still differs after setup: {'; '.join(left.sentences())}")
