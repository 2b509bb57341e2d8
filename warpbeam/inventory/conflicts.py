"""Conflicts in an inventory: values that are well-formed each by itself and wrong together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from warpbeam.inventory import reserved
from warpbeam.inventory.build_conflicts import build_findings
from warpbeam.inventory.finding import Finding, finding
from warpbeam.inventory.firewall import is_network
from warpbeam.inventory.signers import signer_findings
from warpbeam.inventory.tree import ConfigError, Key, Node, Place, find
from warpbeam.runtime.kinds import own_variable_user

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory

_SSH_PORT = 22


class Conflict(NamedTuple):
    """A conflict: what is wrong, what to do, and the places whose values take part, the likeliest cause first."""

    message: str
    hint: str
    places: tuple[Place, ...]


def check_conflicts(inventory: Inventory, tree: Node) -> None:
    """Refuse `inventory` if it has a conflict. Raises: ConfigError, with the places of the first one."""
    for conflict in conflicts(inventory, tree):
        first, *others = conflict.places
        raise ConfigError(first.origin, first.key, conflict.message, conflict.hint, tuple(others))


def conflicts(inventory: Inventory, tree: Node) -> Iterator[Conflict]:
    """Yield every conflict of `inventory`, as it was decoded from `tree`."""
    for found in _findings(inventory):
        yield Conflict(found.message, found.hint, _places(tree, found.keys))


def _places(tree: Node, keys: tuple[Key, ...]) -> tuple[Place, ...]:
    """Return the places of those `keys` that are written; where none is, the first key with the origin of the tree.

    A value may be a default, which has no place. A key that leads to one before it stands in for that one: a host
    without an address is at fault itself.
    """
    places: list[Place] = []
    for key in keys:
        stands_in = any(place.key[: len(key)] == key for place in places)
        if not stands_in and (node := find(tree, key)):
            places.append(Place(key, node.origin))
    return tuple(places) or (Place(keys[0], tree.origin),)


def _findings(inventory: Inventory) -> Iterator[Finding]:
    yield from _names(inventory)
    yield from _users(inventory)
    yield from _roles(inventory)
    yield from _machines(inventory)
    yield from _ports(inventory)
    yield from _firewall(inventory)
    yield from _health(inventory)
    yield from _variables(inventory)
    yield from build_findings(inventory)
    yield from signer_findings(inventory)
    yield from _files(inventory)
    yield from _service(inventory)
    yield from _vm(inventory)


def _names(inventory: Inventory) -> Iterator[Finding]:
    app, org = inventory.app, inventory.org
    if app in reserved.APPS:
        message = f'expected a name of the app\'s own, found "{app}", which the operating system uses'
        free = f"{org.replace('-', '_')}_{app}"
        yield finding(message, f"call it {free}, and set `release` to what Mix calls it", ("app",))
    if app.endswith(reserved.APP_ENDINGS):
        ending = app[app.rindex("_") :]
        message = f'expected a name that does not end in {ending}, found "{app}"'
        hint = (
            f"an app {app.removesuffix(ending)} on the same host has a firewall table of that name: call it otherwise"
        )
        yield finding(message, f"{hint}, and set `release` to what Mix calls it", ("app",))
    if org in reserved.ORGS:
        message = f'expected a name that is free in /etc, found "{org}", which the operating system uses'
        yield finding(message, "add something to it", ("org",))


def _users(inventory: Inventory) -> Iterator[Finding]:
    users = inventory.users
    app = ("users", "app") if users.app else ("app",)
    deploy, admin = ("users", "deploy"), ("users", "admin")
    for name, user, key in (("app", inventory.app_user, app), ("deploy", users.deploy, deploy)):
        if user in reserved.USERS:
            message = f'expected a user of Warpbeam\'s own, found "{user}", which the operating system uses'
            yield finding(message, f"set users.{name} to another name", key)
    if inventory.app_user == users.deploy:
        message = f'expected a user other than users.deploy, found "{users.deploy}" for both'
        hint = "the app could otherwise write its own code: set users.app to another name"
        yield finding(message, hint, app, deploy)
    if inventory.app_user == users.admin:
        message = f'expected a user other than users.admin, found "{users.admin}" for both'
        yield finding(message, "the app could otherwise become root: set users.app to another name", app, admin)
    if users.deploy == users.admin:
        message = f'expected a user other than users.admin, found "{users.admin}" for both'
        hint = "anyone who deploys could otherwise become root: `setup` makes the deploy user, so name a new one"
        yield finding(message, hint, deploy, admin)


def _roles(inventory: Inventory) -> Iterator[Finding]:
    for name, host in inventory.hosts.items():
        key = ("hosts", name, "roles")
        if twice := next((role for role in host.roles if host.roles.count(role) > 1), None):
            yield finding(f'expected each role once, found "{twice}" twice', "keep one", key)
        if "migrate" in host.roles and "app" not in host.roles:
            message = 'expected "app" beside "migrate", found it missing'
            hint = "migrations run from the app's release: choose a host with role app"
            yield finding(message, hint, key)
    migrate = [name for name, host in inventory.hosts.items() if "migrate" in host.roles]
    if len(migrate) > 1:
        message = f'expected one host with role "migrate", found {" and ".join(migrate)}'
        hint = "keep it on one; where none has it, it is the first with role app"
        yield finding(message, hint, ("hosts", migrate[1], "roles"), ("hosts", migrate[0], "roles"))
    if not any("app" in host.roles for host in inventory.hosts.values()):
        found = ", ".join(inventory.hosts) or "no host at all"
        message = f'expected at least one host with role "app", found {found}'
        yield finding(message, "a host without `roles` has role app", ("hosts",))


def _machines(inventory: Inventory) -> Iterator[Finding]:
    seen: dict[tuple[str, int], str] = {}
    for name, host in inventory.hosts.items():
        key = ("hosts", name, "address")
        if host.address and ":" in host.address and not _is_ipv6(host.address):
            message = f'expected a host name or an IP address, found "{host.address}"'
            yield finding(message, "a port has a key of its own: `port`", key)
        address, port = (host.address or name).lower(), host.port or _SSH_PORT
        if first := seen.get((address, port)):
            both = f"{first} and as {name}"
            message = f"expected a machine once, found {address} port {port} as {both}"
            hint = "one host can have several roles: roles: [app, build]"
            yield finding(message, hint, key, ("hosts", name), ("hosts", first, "address"), ("hosts", first))
        seen.setdefault((address, port), name)


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _ports(inventory: Inventory) -> Iterator[Finding]:
    http = inventory.http
    parts: dict[Key, tuple[int, ...]] = {
        ("http", "port"): (http.port,),
        ("http", "slots"): http.slots,
        ("http", "distribution"): http.distribution,
        ("http", "maintenance"): (http.maintenance,),
    }
    for name, more in inventory.ports.items():
        parts["ports", name, "public"] = (more.public,)
        parts["ports", name, "slots"] = more.slots
    taken: dict[int, Key] = {}
    for key, ports in parts.items():
        for port in ports:
            if port in taken:
                first = ".".join(taken[port])
                uses = f"{first} and {'.'.join(key)}" if taken[port] != key else f"both of {first}"
                message = f"expected a port for each use, found {port} for {uses}"
                yield finding(message, "choose another port for one of them", key, taken[port])
            taken.setdefault(port, key)
    for name, host in inventory.hosts.items():
        ssh = host.port or _SSH_PORT
        if ssh in taken:
            uses = f"{'.'.join(taken[ssh])} and ssh to {name}"
            message = f"expected a port for each use, found {ssh} for {uses}"
            hint = "the firewall would lock you out: choose another port for one of them"
            yield finding(message, hint, ("hosts", name, "port"), taken[ssh])


def _firewall(inventory: Inventory) -> Iterator[Finding]:
    firewall = inventory.firewall
    parts: dict[Key, tuple[str, ...]] = {
        ("firewall", "ssh"): firewall.ssh,
        ("firewall", "exempt"): firewall.exempt,
        **{("firewall", "accept", name): networks for name, networks in firewall.accept.items()},
    }
    for key, networks in parts.items():
        for network in networks:
            if not is_network(network):
                message = f'expected an IP network such as 192.0.2.0/24, found "{network}"'
                yield finding(message, "no bit may be set beyond the prefix: 10.0.0.0/8, not 10.0.0.1/8", key)
    for name in firewall.accept:
        port = int(name.partition("/")[0])
        if port > 65535:
            yield finding(
                f"expected a port from 1 to 65535, found {port}", "see services(5)", ("firewall", "accept", name)
            )


def _health(inventory: Inventory) -> Iterator[Finding]:
    health = inventory.health
    for name, value in (("interval", health.interval), ("timeout", health.timeout)):
        if value > health.deadline:
            limit = f"health.deadline ({health.deadline:g} s)"
            message = f"expected health.{name} to be at most {limit}, found {value:g} s"
            hint = f"shorten health.{name}, or raise health.deadline"
            yield finding(message, hint, ("health", name), ("health", "deadline"))


def _variables(inventory: Inventory) -> Iterator[Finding]:
    parts = {"env": [*inventory.env], "secrets": [*inventory.secrets], "ports": [*inventory.ports]}
    for part, names in parts.items():
        for name in names:
            own = own_variable_user(inventory.build.flavor, name)
            if owner := reserved.variable_owner(name) or own:
                message = f"expected a variable of the app's own, found one that is not: {owner}"
                yield finding(message, "remove it", (part, name))
    for name, value in inventory.env.items():
        if name.startswith(("ERL_", "ELIXIR_ERL_")) and re.search("-(set|no)cookie", value):
            message = "expected flags of the VM that set no cookie: every user of a host could read it"
            yield finding(message, "remove it: `setup` makes the cookie", ("env", name))
    for one, other in (("env", "secrets"), ("env", "ports"), ("secrets", "ports")):
        for name in parts[other]:
            if name in parts[one]:
                message = f"expected a variable under {one} or under {other}, found it under both"
                yield finding(message, "remove one of them", (other, name), (one, name))


def _files(inventory: Inventory) -> Iterator[Finding]:
    directory = f"/etc/{inventory.org}/{inventory.app}"
    for path in inventory.files:
        place, _, name = path.rpartition("/")
        if place != directory:
            message = f"expected a file in {directory}, where the app's settings are, found it elsewhere"
            yield finding(message, f"{directory}/{name}", ("files", path))
        elif name.endswith((".env", ".nft")):
            message = "expected a name that setup does not use itself (NAME.env and NAME.nft are its own)"
            yield finding(message, "choose another ending", ("files", path))


def _service(inventory: Inventory) -> Iterator[Finding]:
    for name in inventory.service:
        if owner := reserved.directive_owner(name):
            message = f"expected a directive that may be overridden, found one that may not: {owner}"
            yield finding(message, "remove it", ("service", name))


def _vm(inventory: Inventory) -> Iterator[Finding]:
    vm = inventory.vm
    flags = (vm.ports, vm.async_threads, vm.kernel_poll, vm.fullsweep_after)
    if any(flag is not None for flag in flags):
        for name in ("ERL_FLAGS", "ERL_ZFLAGS", "ERL_FULLSWEEP_AFTER"):
            if name in inventory.env or name in inventory.secrets:
                message = f"expected the VM's settings in one place, found {name} and `vm`"
                hint = "say all of it under `vm`, or in the variable"
                yield finding(message, hint, ("env", name), ("secrets", name), ("vm",))
    for index, peer in enumerate(vm.peers):
        if peer not in inventory.all_hosts and not _is_ipv4_network(peer):
            message = f'expected a host of this inventory, an IPv4 address or a network, found "{peer}"'
            yield finding(
                message, "name hosts as they are named under `hosts`", ("vm", "peers", str(index)), ("vm", "peers")
            )
    if vm.peers:
        for name, host in inventory.all_hosts.items():
            if (name in vm.peers or "app" in host.roles) and not _is_ipv4_network(host.address or ""):
                message = (
                    f'expected an IPv4 address, since nodes are named by it (vm.peers), found "{host.address or name}"'
                )
                yield finding(
                    message,
                    "give the host an address that the others reach it at",
                    ("hosts", name, "address"),
                    ("hosts", name),
                    ("vm", "peers"),
                )


def _is_ipv4_network(text: str) -> bool:
    try:
        ipaddress.IPv4Network(text)
    except ValueError:
        return False
    return True
