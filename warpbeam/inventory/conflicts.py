"""Conflicts in an inventory: values that are well-formed each by itself and wrong together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from warpbeam.inventory import reserved
from warpbeam.inventory.build_conflicts import build_findings
from warpbeam.inventory.finding import Finding, finding
from warpbeam.inventory.firewall import is_network
from warpbeam.inventory.group import Own, cluster_findings, group_findings
from warpbeam.inventory.settings_conflicts import SSH_PORT, settings_findings
from warpbeam.inventory.signers import signer_findings
from warpbeam.inventory.tree import ConfigError, Key, Node, Place, find, path_of

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory


class Conflict(NamedTuple):
    """A conflict: what is wrong, what to do, and the places whose values take part, the likeliest cause first."""

    message: str
    hint: str
    places: tuple[Place, ...]


def check_conflicts(inventory: Inventory, tree: Node) -> None:
    """Refuse `inventory` if it has a conflict. Raises: ConfigError, with the places of the first one."""
    _refuse_first(conflicts(inventory, tree))


def check_own(inventory: Inventory, tree: Node, own: Own) -> None:
    """Refuse the `own` settings of hosts if they have a conflict. Raises: ConfigError, as `check_conflicts`.

    Parameters:
        inventory, tree: the environment, and what it was decoded from.
    """
    found = (*settings_findings(own.inventory), *cluster_findings(inventory, own.inventory))
    _refuse_first(Conflict(each.message, each.hint, _places(own.tree, each.keys, tree)) for each in found)


def _refuse_first(found: Iterable[Conflict]) -> None:
    for conflict in found:
        first, *others = conflict.places
        raise ConfigError(first.origin, first.key, conflict.message, conflict.hint, tuple(others))


def conflicts(inventory: Inventory, tree: Node) -> Iterator[Conflict]:
    """Yield every conflict of `inventory`, as it was decoded from `tree`."""
    for found in _findings(inventory):
        yield Conflict(found.message, found.hint, _places(tree, found.keys))


def _places(tree: Node, keys: tuple[Key, ...], written: Node | None = None) -> tuple[Place, ...]:
    """Return the places of those `keys` that are written; where none is, the first key with the origin of the tree.

    A value may be a default, which has no place. A key that leads to one before it stands in for that one: a host
    without an address is at fault itself.

    Parameters:
        written: the tree as it was written, where `tree` has values of it at other keys.
    """
    places: list[Place] = []
    for key in keys:
        stands_in = any(place.key[: len(key)] == key for place in places)
        if not stands_in and (node := find(tree, key)):
            there = path_of(written, node) if written else None
            places.append(Place(there or key, node.origin))
    if written:
        # The value of a group or of a host is at fault rather than the environment's, which is right for others.
        places.sort(key=lambda place: place.key[:1] not in (("groups",), ("hosts",)))
    return tuple(places) or (Place(keys[0], tree.origin),)


def _findings(inventory: Inventory) -> Iterator[Finding]:
    yield from _names(inventory)
    yield from _users(inventory)
    yield from group_findings(inventory)
    yield from _roles(inventory)
    yield from _machines(inventory)
    yield from _firewall(inventory)
    if any(host.group is None for host in inventory.hosts.values() if "app" in host.roles):
        # Otherwise no host has the environment's settings as they are.
        yield from settings_findings(inventory)
    yield from build_findings(inventory)
    yield from signer_findings(inventory)
    yield from _files(inventory)


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
    migrate: dict[str | None, str] = {}
    for name, host in inventory.hosts.items():
        if "migrate" in host.roles:
            if first := migrate.get(host.group):
                where = f"in the group {host.group}, " if host.group else ""
                message = f'expected one host with role "migrate", {where}found {first} and {name}'
                hint = "keep it on one; where none has it, it is the first with role app"
                yield finding(message, hint, ("hosts", name, "roles"), ("hosts", first, "roles"))
            migrate[host.group] = name
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
        address, port = (host.address or name).lower(), host.port or SSH_PORT
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
