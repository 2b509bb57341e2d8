"""Check that a host's deploy user may only ask the privileged helper of its one app. Pure.

This alone keeps a deployer from root and from other apps; a user that existed before setup may have more rights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from warpbeam.error import Refused
from warpbeam.helper.program import former_programs, helper
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.host_state import HostState

# Groups whose members can become root or read every app's logs (Debian's and Fedora's names).
STRONG = (
    *("root", "sudo", "wheel", "admin", "adm", "systemd-journal", "disk", "shadow", "kmem", "staff"),
    *("docker", "podman", "lxd", "incus", "incus-admin", "libvirt"),
)
# An entry of `sudo -l`: the target user, tags, commands.
_ENTRY = re.compile(r"\((?P<who>[^)]*)\)\s*(?P<tags>(?:[A-Z]+:\s*)*)(?P<commands>.*)")
# The start of a command that is another app's helper.
_HELPER = re.compile(r"/usr/lib/warpbeam/[^/ ]+/warpbeam-helper ")
# The verb after another app's helper.
_OTHER = re.compile(r"(?<=/warpbeam-helper) [a-z]+$")


def excess(inventory: Inventory, found: HostState) -> Iterator[str]:
    """Yield what the deploy user may do beyond its part, one clause each."""
    user = found.users.get(inventory.users.deploy)
    for group in user.groups if user else ():
        if group in STRONG:
            yield f"is in the group {group}"
    for entry in found.rights:
        # Another app's helper is named once, not with each verb.
        for command in dict.fromkeys(_beyond(entry, (helper(inventory), *former_programs(inventory)))):
            yield f"may run {command} through sudo"
    for directory in found.shared:
        yield f"owns {directory}, the directory of another app"


def _beyond(entry: str, helpers: Sequence[str]) -> Iterator[str]:
    """Yield the commands of an entry that are more than a verb of one of `helpers`, as root and without tags."""
    read = _ENTRY.fullmatch(entry)
    if read is None:
        yield entry
        return
    tags = set(read["tags"].replace(":", " ").split()) - {"PASSWD", "NOPASSWD"}
    for command in read["commands"].split(", "):
        if command.startswith("!"):
            # An exclamation mark forbids the command.
            continue
        verb = re.fullmatch(f"(?:{'|'.join(map(re.escape, helpers))}) [a-z]+", command)
        if read["who"] != "root" or tags or not verb:
            yield f"{_OTHER.sub('', command)} ({' '.join((read['who'], *sorted(tags)))})"


def together(clauses: Sequence[str]) -> str:
    """Return clauses about the deploy user as one: `a, b and c`."""
    return " and ".join(filter(None, (", ".join(clauses[:-1]), clauses[-1])))


def deploys_another(inventory: Inventory, found: HostState) -> bool:
    """Return whether the deploy user is that of another app too."""
    theirs = (command for entry in found.rights for command in _beyond(entry, (helper(inventory),)))
    return bool(found.shared) or any(_HELPER.match(command) for command in theirs)


def has_password(inventory: Inventory, found: HostState) -> bool:
    """Return whether the deploy user has a password, so that it can log in without a key."""
    user = found.users.get(inventory.users.deploy)
    return user is not None and user.password


def check_rights(inventory: Inventory, found: Mapping[str, HostState]) -> None:
    """Check that the deploy user of every examined host of `inventory` has no further rights.

    Raises:
        Refused: it has some on a host.
    """
    deploy = inventory.users.deploy
    for name, facts in found.items():
        if name in inventory.hosts and (more := list(excess(inventory, facts))):
            if deploys_another(inventory, facts):
                hint = (
                    "each app on a host needs a deploy user of its own: set `users.deploy` in "
                    f"{inventory.file} to another name, and setup makes that user"
                )
            else:
                hint = (
                    f"a deploy user asks the privileged helper of one app, and nothing else: take that from {deploy}, "
                    "or name another `users.deploy`, which setup makes"
                )
            raise Refused(
                f"the user {deploy} {together(more)}",
                hint,
                host=name,
                nothing_changed=True,
            )
