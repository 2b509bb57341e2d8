"""The keys for hosts from elsewhere, and the form of what is read there: data with a type and a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.names import Address, GroupName, HostName, PathText, Port, Roles, Seconds, ShellCommand

# Many more than one machine reaches by ssh: a filter of the source is missing.
MOST_HOSTS = 10_000
AnsibleGroupName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}\Z",
        description="a group of Ansible's inventory, of letters, digits, dots, - and _",
    ),
]


class AnsibleHosts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hosts of a group of Ansible's `inventory`: the path of a file, a directory or a script.

    It is no Path, which would be resolved when it is read: a script may look at the name of a link that leads to it.
    """

    inventory: PathText
    group: AnsibleGroupName = "all"


class HostsFrom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source of hosts: exactly one of a command that prints them, a file that holds them, a group of Ansible.

    A command and Ansible may take `timeout` seconds. `roles` and `group` are those of hosts of which the source says
    none.
    """

    command: ShellCommand | None = None
    file: Path | None = None
    ansible: AnsibleHosts | None = None
    timeout: Seconds = 30
    roles: Roles | None = None
    group: GroupName | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("command", "file", "ansible") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of command, file and ansible, found {found}")


class FoundHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts that a source may give about a host: no command, secret or path, so that nothing of it can be run."""

    address: Annotated[Address, Meta(max_length=253)] | None = None
    port: Port | None = None
    roles: Roles | None = None
    group: GroupName | None = None
    build: HostName | None = None


class FoundHosts(msgspec.Struct, frozen=True):
    """The hosts of a source by name."""

    hosts: dict[HostName, FoundHost]


# The document that a command prints or a file holds; docs/hosts-from.schema.json is made of it.
Document = Annotated[
    dict[HostName, Annotated[Address, Meta(max_length=253)] | FoundHost | None],
    Meta(
        title="Hosts for Warpbeam",
        description="Each host by its name: its address, or an object with what is known of it",
        extra_json_schema={"maxProperties": MOST_HOSTS},
    ),
]


def document_schema() -> str:
    """Return the JSON Schema of a document, as docs/hosts-from.schema.json has it."""
    # JSON Schema has the regular expressions of ECMA-262, where `$` matches at the end of the text alone.
    schema = msgspec.json.encode(msgspec.json.schema(Document)).replace(rb"\\Z", b"$")
    return msgspec.json.format(schema, indent=2).decode() + "\n"
