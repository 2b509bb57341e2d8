"""What in an inventory cannot both be, though each value by itself is well-formed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from warpbeam import reserved

if TYPE_CHECKING:
    from warpbeam.inventory import Host, Inventory

_SSH_PORT = 22


class Clash(NamedTuple):
    """Two things that cannot both be: the keys that lead to one of them, and what to say about it."""

    key: tuple[str, ...]
    message: str
    hint: str


def clashes(inventory: Inventory) -> Iterator[Clash]:
    """Every clash of `inventory`, as its file gave it, from the names to the variables."""
    yield from _names(inventory)
    yield from _users(inventory)
    yield from _roles(inventory)
    for name, host in inventory.hosts.items():
        yield from _address(name, host)
    yield from _same_machine(inventory)
    yield from _ports(inventory)
    yield from _health(inventory)
    yield from _variables(inventory)


def _names(inventory: Inventory) -> Iterator[Clash]:
    app, org = inventory.app, inventory.org
    if app in reserved.APPS:
        message = f'expected a name of the app\'s own, found "{app}", which the operating system uses'
        free = f"{org.replace('-', '_')}_{app}"
        yield Clash(("app",), message, f"call it {free}, and set `release` to what Mix calls it")
    if org in reserved.ORGS:
        message = f'expected a name that is free in /etc, found "{org}", which the operating system uses'
        yield Clash(("org",), message, "add something to it")


def _users(inventory: Inventory) -> Iterator[Clash]:
    users = inventory.users
    app = ("users", "app") if users.app else ("app",)
    both = (("app", app, inventory.app_user), ("deploy", ("users", "deploy"), users.deploy))
    for part, key, user in both:
        if user in reserved.USERS:
            message = f'expected a user of Warpbeam\'s own, found "{user}", which the operating system uses'
            yield Clash(key, message, f"set users.{part} to another name")
    if inventory.app_user == users.deploy:
        message = f'expected a user other than users.deploy, found "{users.deploy}" for both'
        yield Clash(app, message, "the app could otherwise write its own code: set users.app to another name")
    if inventory.app_user == users.admin:
        message = f'expected a user other than users.admin, found "{users.admin}" for both'
        yield Clash(app, message, "the app could otherwise become root: set users.app to another name")
    if users.deploy == users.admin:
        message = f'expected a user other than users.admin, found "{users.admin}" for both'
        hint = "whoever deploys could otherwise become root: `setup` makes the deploy user, so name a new one"
        yield Clash(("users", "deploy"), message, hint)


def _roles(inventory: Inventory) -> Iterator[Clash]:
    for name, host in inventory.hosts.items():
        key = ("hosts", name, "roles")
        twice = next((role for role in host.roles if host.roles.count(role) > 1), None)
        if twice:
            yield Clash(key, f'expected each role once, found "{twice}" twice', "keep one")
        if "migrate" in host.roles and "app" not in host.roles:
            message = 'expected "app" beside "migrate", found it missing'
            yield Clash(key, message, "migrations run from the app's release: choose a host with role app")
    migrate = [name for name, host in inventory.hosts.items() if "migrate" in host.roles]
    if len(migrate) > 1:
        message = f'expected one host with role "migrate", found {" and ".join(migrate)}'
        yield Clash(
            ("hosts", migrate[1], "roles"), message, "keep it on one; without it, the first host has it"
        )
    if not any("app" in host.roles for host in inventory.hosts.values()):
        found = ", ".join(inventory.hosts) or "no host at all"
        message = f'expected at least one host with role "app", found {found}'
        yield Clash(("hosts",), message, "a host without `roles` has role app")


def _address(name: str, host: Host) -> Iterator[Clash]:
    if host.address is None or ":" not in host.address:
        return
    try:
        ipaddress.IPv6Address(host.address)
    except ValueError:
        message = f'expected a host name or an IP address, found "{host.address}"'
        yield Clash(("hosts", name, "address"), message, "a port has a key of its own: `port`")


def _same_machine(inventory: Inventory) -> Iterator[Clash]:
    seen: dict[tuple[str, int], str] = {}
    for name, host in inventory.hosts.items():
        machine = ((host.address or name).lower(), host.port or _SSH_PORT)
        if machine in seen:
            where = f"{machine[0]} port {machine[1]}"
            message = f"expected a machine once, found {where} as {seen[machine]} and as {name}"
            key = ("hosts", name, "address") if host.address else ("hosts", name)
            yield Clash(key, message, "one host can have several roles: roles: [app, build]")
        seen.setdefault(machine, name)


def _ports(inventory: Inventory) -> Iterator[Clash]:
    http = inventory.http
    uses = [
        (http.port, ("http", "port"), "http.port"),
        *((port, ("http", "slots"), f"slot {slot}") for slot, port in zip("ab", http.slots, strict=True)),
        *(
            (port, ("http", "distribution"), f"the distribution of slot {slot}")
            for slot, port in zip("ab", http.distribution, strict=True)
        ),
    ]
    taken: dict[int, str] = {}
    for port, key, use in uses:
        if port in taken:
            message = f"expected a port for each use, found {port} for {taken[port]} and for {use}"
            yield Clash(key, message, "choose another port for one of them")
        taken.setdefault(port, use)
    for name, host in inventory.hosts.items():
        ssh = host.port or _SSH_PORT
        if ssh in taken:
            at = ("hosts", name, "port") if host.port else ("http",)
            message = f"expected a port for each use, found {ssh} for {taken[ssh]} and for ssh to {name}"
            yield Clash(at, message, "the redirect would lock you out: choose another port for one of them")


def _health(inventory: Inventory) -> Iterator[Clash]:
    health = inventory.health
    for key in ("interval", "timeout"):
        value = getattr(health, key)
        if value > health.deadline:
            message = f"expected at most health.deadline ({health.deadline:g} s), found {value:g}"
            yield Clash(("health", key), message, "shorten it, or raise health.deadline")


def _variables(inventory: Inventory) -> Iterator[Clash]:
    for part in ("env", "secrets"):
        for name in getattr(inventory, part):
            if owner := reserved.variable_owner(name):
                message = f"expected a variable of the app's own, found one that is set for it: {owner}"
                yield Clash((part, name), message, "remove it")
    for name in sorted(inventory.env.keys() & inventory.secrets.keys()):
        message = "expected a variable under env or under secrets, found it under both"
        yield Clash(("secrets", name), message, "remove one of them")
    if "MIX_ENV" in inventory.build.env:
        message = "expected a variable of the build's own, found what build.mix_env says"
        yield Clash(("build", "env", "MIX_ENV"), message, "set build.mix_env instead")
