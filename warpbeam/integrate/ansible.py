"""The hosts of an environment as Ansible's inventory: what its contract for scripts has `--list` and `--host` print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from warpbeam.error import Misuse, Problem
from warpbeam.fleet.work import everywhere, gravest_problem
from warpbeam.inventory.decode import nearest
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.tree import quoted
from warpbeam.ssh.ssh_config import Settings, resolve

# Groups by role; the environment's own name is a group of all hosts.
ROLE_GROUPS = {"app": "app_hosts", "build": "build_hosts", "migrate": "migrate_hosts"}
# Groups that Ansible itself has, and the key beside groups.
TAKEN = ("all", "ungrouped", "_meta")


def listing(inventory: Inventory, jobs: int) -> dict[str, Any]:
    """Return the answer to `--list`: groups with their hosts, and all variables, so that Ansible asks once.

    Raises:
        Misuse: two groups would have one name in Ansible. Refused: OpenSSH rejects its configuration for a host.
    """
    hosts = list(inventory.hosts.values())
    variables = _variables(inventory, hosts, jobs)
    groups = ansible_groups(inventory)
    return {
        "_meta": {"hostvars": variables},
        "all": {"children": ["ungrouped", *groups]},
        **{name: {"hosts": members} for name, members in groups.items()},
    }


def host_listing(inventory: Inventory, name: str) -> dict[str, Any]:
    """Return the answer to `--host NAME`: the variables of one host. Raises: Misuse, where there is no such host."""
    if name not in inventory.hosts:
        known = ", ".join(inventory.hosts)
        raise Misuse(f"--host: there is no host {quoted(name)}{nearest(name, inventory.hosts)}", f"there is: {known}")
    return _variables(inventory, [inventory.hosts[name]], 1)[name]


def ansible_groups(inventory: Inventory) -> dict[str, list[str]]:
    """Return the hosts of each group of Ansible's: the environment, the roles that hosts have, our own groups.

    Raises:
        Misuse: two of them would have one name.
    """
    groups: dict[str, list[str]] = {}
    origins: dict[str, str] = dict.fromkeys(TAKEN, "a group of Ansible's own")
    for name, what, members in _groups(inventory):
        fit = group_name(name)
        if fit in origins and origins[fit] != what:
            message = f"{inventory.file}: {what} and {origins[fit]} would both be the group {fit} in Ansible"
            raise Misuse(message, "Ansible's groups are of letters, digits and _: give one another name")
        origins[fit] = what
        groups[fit] = members
    return groups


def _groups(inventory: Inventory) -> list[tuple[str, str, list[str]]]:
    hosts = inventory.hosts
    found = [(inventory.name, f"the environment {inventory.name}", [*hosts])]
    for role, name in ROLE_GROUPS.items():
        members = [host.name for host in hosts.values() if role in host.roles]
        if members:
            found.append((name, f"the hosts of role {role}", members))
    own = dict.fromkeys(host.group for host in hosts.values() if host.group is not None)
    found += [(name, f"the group {name}", [host.name for host in hosts.values() if host.group == name]) for name in own]
    return found


def group_name(name: str) -> str:
    """Return a name as Ansible takes it for a group: one of Python's identifiers."""
    fit = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{fit}" if fit[0].isdigit() else fit


def _variables(inventory: Inventory, hosts: Sequence[Host], jobs: int) -> dict[str, dict[str, Any]]:
    ssh, user = inventory.ssh, inventory.users.admin

    def ask(host: Host) -> Settings:
        return resolve(
            host.name, host.address or host.name, ssh=ssh, user=user, port=host.port, environment=inventory.name
        )

    found: Mapping[str, Settings | Problem] = everywhere(hosts, ask, jobs=jobs, interrupt=lambda: None)
    if (gravest := gravest_problem(found)) is not None:
        raise gravest
    return {
        host.name: _host_variables(inventory, host, settings)
        for host in hosts
        if isinstance(settings := found[host.name], Settings)
    }


def _host_variables(inventory: Inventory, host: Host, settings: Settings) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "ansible_host": settings.destination,
        "ansible_port": settings.port,
        "ansible_ssh_common_args": shlex.join(common_options(settings.options)),
        "warpbeam": {
            "environment": inventory.name,
            "org": inventory.org,
            "app": inventory.app,
            "root": str(inventory.root),
            "roles": list(host.roles),
            "group": host.group,
            "app_user": inventory.app_user,
            "deploy_user": inventory.users.deploy,
        },
    }
    # Ansible sets up machines, which the admin may do. Without one, ssh's own configuration and `-u` decide.
    return {**variables, "ansible_user": inventory.users.admin} if inventory.users.admin else variables


def common_options(options: Sequence[str]) -> list[str]:
    """Return options of `ssh` without user and port, which Ansible gives by itself, and a playbook may change."""
    kept: list[str] = []
    words = iter(options)
    for word in words:
        if word in ("-l", "-p"):
            next(words)
        else:
            kept.append(word)
    return kept
