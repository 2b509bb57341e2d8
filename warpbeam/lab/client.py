"""What a person's ssh needs to reach a lab: a key, the hosts' keys, an ssh_config that names both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from warpbeam.lab.command import run
from warpbeam.lab.network import addresses
from warpbeam.lab.state import Lab, Member, client_owner, lab_directory

USER = "admin"


def key_file(lab: str) -> Path:
    """The private key that every host of the lab lets in; `.pub` beside it."""
    return lab_directory(lab) / "id_ed25519"


def config_file(lab: str) -> Path:
    """The ssh_config of the lab."""
    return lab_directory(lab) / "ssh_config"


def known_hosts_file(lab: str) -> Path:
    """The host keys of the lab."""
    return lab_directory(lab) / "known_hosts"


def make_key(file: Path, comment: str) -> str:
    """Make an ed25519 key without a passphrase, unless it is there; give the public half.

    The private half comes into being last, so it is there only when both are.
    """
    if not file.exists():
        draft = file.with_name(f".{file.name}.new")
        for half in (draft, draft.with_name(f"{draft.name}.pub")):
            half.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(draft))
        draft.with_name(f"{draft.name}.pub").replace(file.with_name(f"{file.name}.pub"))
        draft.replace(file)
    return file.with_name(f"{file.name}.pub").read_text().strip()


def write_client(lab: Lab, host_keys: dict[str, str]) -> None:
    """Write ssh_config and known_hosts, readable by the person behind sudo only.

    Parameters:
        host_keys: the public key of each host, by name.
    """
    uid, gid = client_owner()
    key = key_file(lab.name)
    files = {config_file(lab.name): config(lab), known_hosts_file(lab.name): known_hosts(lab, host_keys)}
    for file, text in files.items():
        draft = file.with_name(f".{file.name}.new")
        draft.write_text(text)
        draft.replace(file)
    for file in (*files, key, key.with_name(f"{key.name}.pub")):
        os.chown(file, uid, gid)
        file.chmod(0o600)


def config(lab: Lab) -> str:
    """The text of ssh_config: it needs nothing of the person's own, and trusts nothing unknown."""
    hosts = (f"Host {member.name}\n    HostName {addresses(lab, member)[0]}\n" for member in lab.members)
    rest = f"""\
Host *
    User {USER}
    IdentityFile {key_file(lab.name)}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts_file(lab.name)}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
"""
    return "\n".join((f"# The hosts of lab {lab.name}: ssh -F {config_file(lab.name)} HOST\n", *hosts, rest))


def known_hosts(lab: Lab, host_keys: dict[str, str]) -> str:
    """The text of known_hosts: a line for each host, by its name and both its addresses."""
    lines = []
    for member in lab.members:
        kind, key = host_keys[member.name].split()[:2]
        lines.append(f"{','.join((member.name, *addresses(lab, member)))} {kind} {key}\n")
    return "".join(lines)


def ssh_argv(lab: str, host: str, command: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that logs in to a host of the lab, or runs `command` there (ssh joins it with spaces)."""
    return ("ssh", "-F", str(config_file(lab)), host, *command)


def host_names(lab: Lab, member: Member) -> str:
    """The text of a host's /etc/hosts: itself first, then every host of the lab, IPv4 and IPv6."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for other in (member, *(other for other in lab.members if other != member)):
        lines += [f"{address} {other.name}" for address in addresses(lab, other)]
    return "\n".join(lines) + "\n"
