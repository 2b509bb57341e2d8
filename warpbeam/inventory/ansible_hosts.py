"""Hosts of Ansible: those of one group, from the output of `ansible-inventory --list`."""

from __future__ import annotations

import re

from warpbeam.inventory.decode import nearest
from warpbeam.inventory.tree import ConfigError, Mapping, Node, Scalar, Sequence, find, quoted

# The variables of Ansible that say where a host is; Warpbeam's own settings say all the rest.
ADDRESS, PORT = "ansible_host", "ansible_port"


# Not str.isdigit, which takes digits of every script.
_DIGITS = re.compile(r"[0-9]{1,5}")


def hosts_of_group(listed: Node, group: str) -> Mapping:
    """Return the hosts of `group` and of its children, by name, each with its address and port where these are set.

    Raises:
        ConfigError: `listed` is not what Ansible prints, or has no such group.
    """
    known = [name for name in listed.entries if name != "_meta"] if isinstance(listed, Mapping) else []
    if group not in known:
        message = f"expected a group of Ansible's inventory, found {quoted(group)}{nearest(group, known)}"
        raise ConfigError(listed.origin, (), message, f"there is: {', '.join(known[:20]) or 'no group'}")
    hosts: dict[str, Node] = {}
    for name in _members(listed, group):
        hosts[name.text] = _host(listed, name)
    return Mapping(listed.origin, hosts)


def _members(listed: Node, group: str) -> list[Scalar]:
    """Return the hosts of a group and of its children; a loop, because children may be nested without a bound."""
    members: list[Scalar] = []
    seen, waiting = {group}, [group]
    while waiting:
        name = waiting.pop()
        members += _texts(listed, name, "hosts")
        children = [child.text for child in _texts(listed, name, "children") if child.text not in seen]
        seen.update(children)
        waiting += reversed(children)
    return members


def _texts(listed: Node, group: str, part: str) -> list[Scalar]:
    found = find(listed, (group, part))
    return [each for each in found.items if isinstance(each, Scalar)] if isinstance(found, Sequence) else []


def _host(listed: Node, name: Scalar) -> Mapping:
    entries: dict[str, Node] = {}
    for key, variable in (("address", ADDRESS), ("port", PORT)):
        node = find(listed, ("_meta", "hostvars", name.text, variable))
        if node is not None:
            entries[key] = _number(node) if key == "port" else node
    return Mapping(name.origin, entries)


def _number(node: Node) -> Node:
    """Return a port as a number: Ansible's INI format and its templates have text."""
    if (
        isinstance(node, Scalar)
        and isinstance(node.value, str)
        and node.text.isascii()
        and node.text.isdigit()
        and len(node.text) <= 5
    ):
        return Scalar(node.origin, node.text, int(node.text))
    return node
