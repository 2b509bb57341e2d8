"""Groups: what an environment is for a host that has a group, or settings of its own.

The settings of the group take the place of the environment's, and those of the host the place of both, as a later
source takes the place of an earlier one (`warpbeam/inventory/merge.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from warpbeam.inventory.decode import decode, nearest
from warpbeam.inventory.finding import Finding, finding
from warpbeam.inventory.instance import Group
from warpbeam.inventory.merge import merge
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.shape import fields
from warpbeam.inventory.tree import Key, Mapping, Node, Scalar, find, quoted

# The part of an environment that a key of a group belongs to, where that is not the key itself.
_PARTS = {"batch": "deploy", "migrate": "deploy"}
# The keys that an environment must have; `_own` keeps them beside what a group's settings are about.
_NEEDED = ("org", "app", "hosts")


class Own(msgspec.Struct, frozen=True):
    """The environment as it is for `hosts`, which share a group or are one host, and the tree of its settings."""

    inventory: Inventory
    tree: Node
    hosts: tuple[str, ...]


def group_parts() -> tuple[str, ...]:
    """Return the parts of an environment that the keys of a group are about."""
    return tuple(dict.fromkeys(_PARTS.get(name, name) for name in fields(Group)))


def own_environments(inventory: Inventory, tree: Node) -> list[Own]:
    """Return what `inventory` is for each group, and for each host with settings of its own.

    Raises: ConfigError, where values of a group and of the environment do not fit together.
    """
    shared: dict[str, list[str]] = {}
    found: list[Own] = []
    for name, host in inventory.hosts.items():
        own = _settings(tree, ("hosts", name))
        if own.entries:
            found.append(_own(inventory, tree, host, own, (name,)))
        elif host.group is not None:
            # Hundreds of hosts may have one group.
            shared.setdefault(host.group, []).append(name)
    # A group without hosts, too: a source of hosts may name one at any time.
    for group in inventory.groups:
        names = tuple(shared.get(group, ()))
        found.append(_own(inventory, tree, Host(group=group), Mapping(tree.origin, {}), names))
    return found


def add_own(inventory: Inventory, own: list[Own]) -> Inventory:
    """Return `inventory` with what it is for each host, for `Inventory.of`."""
    return msgspec.structs.replace(inventory, own={name: each.inventory for each in own for name in each.hosts})


def _own(inventory: Inventory, tree: Node, host: Host, own: Mapping, names: tuple[str, ...]) -> Own:
    group = () if host.group is None else (_settings(tree, ("groups", host.group)),)
    merged = merge([tree, *group, own])
    parts = group_parts()
    assert isinstance(merged, Mapping)  # noqa: S101 (`inventory` was decoded from it)
    entries = {name: node for name, node in merged.entries.items() if name in (*parts, *_NEEDED)}
    # Not the hosts: to decode them again for each host would take the square of their number.
    settings = decode(Mapping(merged.origin, {**entries, "hosts": Mapping(merged.origin, {})}), Inventory)
    changed: dict[str, Any] = {part: getattr(settings, part) for part in parts}
    hosts = {name: inventory.hosts[name] for name in names}
    return Own(msgspec.structs.replace(inventory, **changed, hosts=hosts), merged, names)


def _settings(tree: Node, key: Key) -> Mapping:
    """Return the settings of the group or host at `key`, each in the part where an environment has it."""
    node = find(tree, key)
    if not isinstance(node, Mapping):
        return Mapping(tree.origin, {})
    placed = [
        _placed(name, value)
        for name, value in node.entries.items()
        # An empty `batch` is as if it were not written; an empty `migrate` is none.
        if name in fields(Group) and not (name == "batch" and isinstance(value, Scalar) and value.value is None)
    ]
    merged = merge([Mapping(node.origin, {}), *placed])
    assert isinstance(merged, Mapping)  # noqa: S101 (all of them are)
    return merged


def _placed(name: str, value: Node) -> Mapping:
    short = next((inner.short for inner in fields(Group)[name].inner if inner.short), "")
    if short and isinstance(value, Scalar) and value.value is not None:
        # `http: none` would otherwise return the rest of `http` to its defaults.
        value = Mapping(value.origin, {short: value})
    if part := _PARTS.get(name):
        return Mapping(value.origin, {part: Mapping(value.origin, {name: value})})
    return Mapping(value.origin, {name: value})


def group_findings(inventory: Inventory) -> Iterator[Finding]:
    """Yield what is wrong with the names of groups."""
    known = f"its groups are: {', '.join(inventory.groups) or 'none'}"
    for name, host in inventory.hosts.items():
        if host.group is not None and host.group not in inventory.groups:
            message = f"expected a group of this environment, found {quoted(host.group)}"
            hint = f"{known}; one without settings is `{host.group}:` under `groups`"
            yield finding(message + nearest(host.group, inventory.groups), hint, ("hosts", name, "group"))
    key: Key = ("deploy", "order")
    for index, group in enumerate(inventory.deploy.order):
        if group not in inventory.groups:
            message = f"expected groups of this environment, found {quoted(group)}"
            yield finding(message + nearest(group, inventory.groups), known, key)
        if group in inventory.deploy.order[:index]:
            yield finding(f"expected each group once, found {quoted(group)} twice", "keep one", key)


def cluster_findings(inventory: Inventory, own: Inventory) -> Iterator[Finding]:
    """Yield what keeps nodes of hosts with `own` settings from finding those of the environment."""
    if own.vm.peers and own.http.distribution != inventory.http.distribution:
        message = "expected the http.distribution of the environment, since nodes with vm.peers find each other by it"
        yield finding(message, "set it for the environment alone", ("http", "distribution"), ("http",))
