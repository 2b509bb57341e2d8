"""Reading: turn a file of `inventory/` into an environment, or raise one error that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import msgspec

from warpbeam.error import Misuse
from warpbeam.inventory.conflicts import conflicts
from warpbeam.inventory.decode import absolute, decode, nearest
from warpbeam.inventory.files import environment_text, seen
from warpbeam.inventory.names import is_public_key
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.strict_yaml import parse
from warpbeam.inventory.tree import ConfigError, Mapping, Node, Scalar, line_of, quoted
from warpbeam.version import VERSION, is_accepted


def read_inventory(file: Path, only: frozenset[str] = frozenset()) -> Inventory:
    """Return the environment that `file` describes, narrowed to the hosts that `only` names, if any.

    Raises:
        Misuse: the file is unreadable, no inventory or contradicts itself, or a host that `only` names is not in it.
    """
    try:
        tree = parse(environment_text(file))
        _check_version(tree)
        inventory = decode(tree, Inventory, file.absolute().parent)
        if conflict := next(conflicts(inventory), None):
            # A written value can conflict with a default: the error shows the key that was written.
            lines = {key: line for key in conflict.keys if (line := line_of(tree, key))}
            key, line = next(iter(lines.items()), (conflict.keys[0], tree.line))
            raise ConfigError(line, key, conflict.message, conflict.hint)
        placed = _placed(inventory, file)
    except ConfigError as error:
        raise Misuse(f"{seen(file)}:{error}", error.hint) from None
    for name in sorted(only - placed.hosts.keys()):
        known = "its hosts are " + ", ".join(placed.hosts)
        raise Misuse(f"{seen(file)}: there is no host {quoted(name)}" + nearest(name, placed.hosts), known)
    chosen = {name: host for name, host in placed.hosts.items() if not only or name in only}
    return msgspec.structs.replace(placed, hosts=chosen)


def _check_version(tree: Node) -> None:
    """Refuse an inventory for another version before decoding it: it may have keys that this version does not know."""
    asked = tree.entries.get("warpbeam") if isinstance(tree, Mapping) else None
    if not isinstance(asked, Scalar):
        return
    try:
        accepted = is_accepted(asked.text)
    except ValueError:
        return  # `decode` reports what was expected
    if not accepted:
        raise ConfigError(
            asked.line,
            ("warpbeam",),
            f"expected Warpbeam {asked.text}, found {VERSION}",
            "use a clone of Warpbeam at such a version; CHANGELOG.md says what changed",
        )


def _placed(inventory: Inventory, file: Path) -> Inventory:
    """Return `inventory` with the names of itself and its hosts, and with absolute paths of deploy keys."""
    base = file.absolute().parent
    hosts = {name: msgspec.structs.replace(host, name=name) for name, host in inventory.hosts.items()}
    keys = inventory.deploy_keys
    if keys is not None:
        keys = tuple(key if is_public_key(key) else str(absolute(key, base)) for key in keys)
    return msgspec.structs.replace(
        inventory, name=file.stem, file=file.absolute(), hosts=hosts, all_hosts=hosts, deploy_keys=keys
    )
