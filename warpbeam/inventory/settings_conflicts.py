"""Conflicts between settings that an environment has, and that groups and hosts may have in their place."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from warpbeam.inventory import reserved
from warpbeam.inventory.finding import Finding, finding
from warpbeam.inventory.tree import Key
from warpbeam.runtime.kinds import own_variable_user

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory

SSH_PORT = 22


def settings_findings(inventory: Inventory) -> Iterator[Finding]:
    """Yield conflicts between values that groups and hosts may set too; `inventory.hosts` are those that have them."""
    yield from _ports(inventory)
    yield from _health(inventory)
    yield from _variables(inventory)
    yield from _service(inventory)
    yield from _vm(inventory)


def _ports(inventory: Inventory) -> Iterator[Finding]:
    http = inventory.http
    parts: dict[Key, tuple[int, ...]] = {
        ("http", "port"): () if http.port is None else (http.port,),
        ("http", "slots"): () if http.port is None else http.slots,
        ("http", "distribution"): http.distribution,
        ("http", "maintenance"): inventory.page_ports(),
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
        ssh = host.port or SSH_PORT
        if ssh in taken:
            uses = f"{'.'.join(taken[ssh])} and ssh to {name}"
            message = f"expected a port for each use, found {ssh} for {uses}"
            hint = "the firewall would lock you out: choose another port for one of them"
            yield finding(message, hint, ("hosts", name, "port"), taken[ssh])


def _health(inventory: Inventory) -> Iterator[Finding]:
    health = inventory.health
    if inventory.http.port is None and health.rpc is None:
        message = "expected an expression, since there is no HTTP to ask (http: none), found none"
        hint = "an expression that is true on a healthy node, such as `rpc: Shop.healthy?()`"
        yield finding(message, hint, ("health", "rpc"), ("health",), ("http", "port"), ("http",))
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
