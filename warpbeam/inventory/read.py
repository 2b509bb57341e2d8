"""Reading: from the file of an environment to its values, or to one error that says what is wrong, and where."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from warpbeam.inventory.conflicts import check_conflicts, check_own
from warpbeam.inventory.decode import absolute, decode
from warpbeam.inventory.extends import file_trees
from warpbeam.inventory.group import add_own, own_environments
from warpbeam.inventory.host_source import Answers, add_hosts
from warpbeam.inventory.merge import merge
from warpbeam.inventory.names import is_public_key
from warpbeam.inventory.narrow import narrow
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.tree import ConfigError, Node, Scalar, find
from warpbeam.version import VERSION, is_accepted


class Reading(NamedTuple):
    """An environment as it was read: its values, and the tree that knows where each was written."""

    inventory: Inventory
    tree: Node


def read_inventory(file: Path, only: str | None = None) -> Inventory:
    """Return the environment that `file` describes. Raises what `read` raises."""
    return read(file, only).inventory


def read(file: Path, only: str | None = None, answers: Answers | None = None) -> Reading:
    """Read the environment that `file` describes, narrowed to the hosts that `only` chooses, if that is given.

    Parameters:
        answers: what sources of hosts have answered before, in this process; theirs are added to it.

    Raises:
        Refused: a source of hosts fails.
        Misuse: a source is unreadable, no inventory or contradicts itself, or `only` names a host that is not in it.
    """
    trees = file_trees(file)
    for each in trees:
        check_version(each)
    tree = add_hosts(merge(trees), file, {} if answers is None else answers)
    inventory = decode(tree, Inventory)
    check_conflicts(inventory, tree)
    inventory = add_names(inventory, file)
    inventory = add_key_paths(inventory, tree)
    environments = own_environments(inventory, tree)
    for own in environments:
        check_own(inventory, tree, own)
    inventory = add_own(inventory, environments)
    return Reading(narrow(inventory, only, file), tree)


def check_version(tree: Node) -> None:
    """Refuse a source for another version before decoding it: it may have keys that this version does not know."""
    asked = find(tree, ("warpbeam",))
    if not isinstance(asked, Scalar):
        return
    try:
        accepted = is_accepted(asked.text)
    except ValueError:
        return  # `decode` reports what was expected
    if not accepted:
        raise ConfigError(
            asked.origin,
            ("warpbeam",),
            f"expected Warpbeam {asked.text}, found {VERSION}",
            "use a clone of Warpbeam at such a version; CHANGELOG.md says what changed",
        )


def add_names(inventory: Inventory, file: Path) -> Inventory:
    """Return `inventory` with its name and file, and with the names of its hosts, from their keys."""
    hosts = {name: msgspec.structs.replace(host, name=name) for name, host in inventory.hosts.items()}
    return msgspec.structs.replace(inventory, name=file.stem, file=file.absolute(), hosts=hosts, all_hosts=hosts)


def add_key_paths(inventory: Inventory, tree: Node) -> Inventory:
    """Return `inventory` with absolute paths of its deploy keys, from the directory of the source that names them."""
    written = find(tree, ("deploy_keys",))
    if inventory.deploy_keys is None or written is None:
        return inventory
    base = written.origin.directory
    keys = tuple(key if is_public_key(key) else str(absolute(key, base)) for key in inventory.deploy_keys)
    return msgspec.structs.replace(inventory, deploy_keys=keys)
