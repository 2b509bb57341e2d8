"""Files for a user's ssh to reach a lab: a key, the hosts' keys, an ssh_config that names both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from warpbeam.lab.command import run
from warpbeam.lab.network import addresses
from warpbeam.lab.state import Lab, Member, client_owner, lab_directory

USER = "admin"


def key_file(lab: str) -> Path:
    """Return the private key that every host of the lab accepts; `.pub` is beside it."""
    return lab_directory(lab) / "id_ed25519"


def config_file(lab: str) -> Path:
    """Return the path of the lab's ssh_config."""
    return lab_directory(lab) / "ssh_config"


def known_hosts_file(lab: str) -> Path:
    """Return the path of the lab's known_hosts."""
    return lab_directory(lab) / "known_hosts"


def make_key(file: Path, comment: str) -> str:
    """Make an ed25519 key without a passphrase, unless it exists; return the public half.

    The private half gets its name last, so where it exists, both do.
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
    """Write ssh_config and known_hosts, readable only by the user who called sudo.

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
    """Return the text of ssh_config: it uses no keys and no known_hosts of the user's own, and refuses unknown keys."""
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
    """Return the text of known_hosts: a line for each host, with its name and both addresses."""
    lines = []
    for member in lab.members:
        kind, key = host_keys[member.name].split()[:2]
        lines.append(f"{','.join((member.name, *addresses(lab, member)))} {kind} {key}\n")
    return "".join(lines)


def ssh_argv(lab: str, host: str, command: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the command that logs in to a host of the lab, or runs `command` there (ssh joins it with spaces)."""
    return ("ssh", "-F", str(config_file(lab)), host, *command)


def host_names(lab: Lab, member: Member) -> str:
    """Return the text of a host's /etc/hosts: the host itself, then every other host of the lab, IPv4 and IPv6."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for other in (member, *(other for other in lab.members if other != member)):
        lines += [f"{address} {other.name}" for address in addresses(lab, other)]
    return "\n".join(lines) + "\n"
