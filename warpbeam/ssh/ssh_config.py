"""OpenSSH's settings for a host, read from the output of `ssh -G`.

Paramiko's reader of ssh_config knows neither Include nor IdentitiesOnly nor UserKnownHostsFile, and reads Match
in part. `ssh -G` costs 8 ms and is right by definition (ssh(1)). It and every later `ssh` get the options of an
inventory in the same words, so all of them resolve alike.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from warpbeam.error import Refused
from warpbeam.inventory.schema import Ssh

# The most hops behind one another: OpenSSH itself has no limit, and a loop in ssh_config would never end.
MOST_HOPS = 8
ALIVE_INTERVAL, ALIVE_COUNT = 15, 3


class Settings(msgspec.Struct, frozen=True):
    """The settings to connect to one host as OpenSSH would.

    `name` is the host's inventory name (for a jump host: its name in the ssh configuration), `inventory_name`
    that of the host to be reached; `destination` is the last argument of `ssh`, `options` the arguments before it.
    Times are in seconds.
    """

    name: str
    inventory_name: str
    destination: str
    hostname: str
    port: int
    user: str
    options: tuple[str, ...] = ()
    timeout: float = 10
    family: int = socket.AF_UNSPEC
    identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: Path | None = None
    host_key_alias: str | None = None
    host_key_types: tuple[str, ...] = ()
    user_known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    revoked_host_keys: tuple[Path, ...] = ()
    hash_names: bool = False
    alive_interval: int = ALIVE_INTERVAL
    alive_count: int = ALIVE_COUNT
    proxy_command: str | None = None
    jump: Settings | None = None
    environment: str = "ENV"

    @property
    def label(self) -> str:
        """The host's name in messages: its inventory name, and the address and port where these differ."""
        where = self.hostname if self.port == 22 else f"{bracketed(self.hostname)}:{self.port}"
        return self.name if self.name == where else f"{self.name} ({where})"

    @property
    def known_name(self) -> str:
        """The host's name in known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        name = (self.host_key_alias or self.hostname).lower()
        return name if self.port == 22 or self.host_key_alias else f"[{name}]:{self.port}"


def bracketed(host: str) -> str:
    """Return an address that a port may follow: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def resolve(
    name: str,
    destination: str,
    *,
    ssh: Ssh,
    user: str | None = None,
    port: int | None = None,
    jump: str | None = None,
    environment: str = "ENV",
    goal: str = "",
    depth: int = 0,
) -> Settings:
    """Return OpenSSH's settings for `destination`, jump hosts included.

    Raises:
        Refused: OpenSSH is not installed, or rejects its configuration (its own message is shown), or Warpbeam
            cannot follow a setting.
    """
    if depth > MOST_HOPS:
        raise Refused(
            f"more than {MOST_HOPS} jump hosts, one behind the other",
            "look for a ProxyJump in your ssh configuration that leads back to itself",
            host=name,
        )
    if ssh.config is not None and not ssh.config.is_file():
        raise Refused(
            f"there is no file {ssh.config}{_whose(ssh.config)}", "see `ssh.config` in the inventory", host=name
        )
    options = asked_options(ssh)
    route = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    route += ["-J", jump] if jump else []
    answer = ask_openssh(name, (*options, *route, "--", destination))
    one = functools.partial(first, answer)

    tokens = {
        "%": "%", "h": one("hostname"), "n": destination, "p": one("port"), "r": one("user"),
        "u": getpass.getuser(), "d": str(Path.home()), "i": str(os.getuid()),
        "k": one("hostkeyalias") or destination, "l": socket.gethostname(),
        "L": socket.gethostname().partition(".")[0], "j": one("proxyjump"),
    }  # fmt: skip

    def paths(key: str, *, several: bool = False) -> tuple[Path, ...]:
        lines = answer.get(key, ())
        # `ssh -G` prints several file names on one line, unquoted; it makes them absolute, so each begins with / or ~.
        words = [word for line in lines for word in (re.split(r"\s+(?=[/~])", line) if several else [line])]
        kept = [expand(word, tokens, name) for word in words if word and word != "none"]
        return tuple(Path(word).expanduser() for word in kept)

    timeout, interval = one("connecttimeout"), int(one("serveraliveinterval") or 0)
    own = [] if timeout.isdigit() else ["-o", f"ConnectTimeout={max(1, round(ssh.connect_timeout))}"]
    if not interval:
        own += ["-o", f"ServerAliveInterval={ALIVE_INTERVAL}", "-o", f"ServerAliveCountMax={ALIVE_COUNT}"]
    if one("proxyusefdpass") == "yes":
        raise Refused("its ssh configuration sets ProxyUseFdpass, which Warpbeam cannot follow", host=name)

    behind = None
    if hops := one("proxyjump").removeprefix("none"):
        rest, _, last = hops.rpartition(",")
        hop_user, hop_host, hop_port = parse_hop(last)
        behind = resolve(
            hop_host, hop_host, ssh=ssh, user=hop_user, port=hop_port, jump=rest or None,
            environment=environment, goal=goal or name, depth=depth + 1,
        )  # fmt: skip
        # `-J` would reach the hop without the inventory's own options, so use a ProxyCommand with them instead.
        via = shlex.join(["ssh", *behind.options, "-W"]).replace("%", "%%")
        target = shlex.quote(behind.destination).replace("%", "%%")
        route = [word for word in route if word not in ("-J", jump)]
        route += ["-o", f"ProxyCommand={via} '[%h]:%p' -- {target}"]

    command = one("proxycommand").removeprefix("none")
    return Settings(
        name=name,
        inventory_name=goal or name,
        destination=destination,
        hostname=one("hostname"),
        port=int(one("port")),
        user=one("user"),
        options=(*options, *own, *route),
        timeout=float(timeout) if timeout.isdigit() else float(ssh.connect_timeout),
        family={"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(one("addressfamily"), socket.AF_UNSPEC),
        identities=paths("identityfile"),
        certificates=paths("certificatefile"),
        identities_only=one("identitiesonly") == "yes",
        agent=agent_socket(one("identityagent"), tokens, name),
        host_key_alias=one("hostkeyalias") or None,
        host_key_types=tuple(one("hostkeyalgorithms").split(",")),
        user_known_hosts=paths("userknownhostsfile", several=True),
        global_known_hosts=paths("globalknownhostsfile", several=True),
        revoked_host_keys=paths("revokedhostkeys"),
        # People read a known_hosts file that belongs to the inventory, so its names stay legible.
        hash_names=one("hashknownhosts") == "yes" and ssh.known_hosts is None,
        alive_interval=interval or ALIVE_INTERVAL,
        alive_count=int(one("serveralivecountmax") or ALIVE_COUNT) if interval else ALIVE_COUNT,
        proxy_command=expand(command, tokens, name) if command else None,
        jump=behind,
        environment=environment,
    )


def asked_options(ssh: Ssh) -> tuple[str, ...]:
    """Return the arguments of `ssh` for an inventory's `ssh:`, and those that Warpbeam always sets."""
    options = ["-F", str(ssh.config.absolute())] if ssh.config else []
    # The first value wins, and the command line comes before any file (ssh_config(5)).
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "ForwardAgent=no", "-o", "ClearAllForwardings=yes"]
    options += ["-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"]
    if ssh.known_hosts:
        options += ["-o", f"UserKnownHostsFile={quoted(ssh.known_hosts)}"]
    for identity in ssh.identities:
        options += ["-o", f"IdentityFile={quoted(identity)}"]
    if ssh.identities:
        # Only the inventory's keys: an agent with many keys would use up the server's MaxAuthTries before them.
        options += ["-o", "IdentitiesOnly=yes"]
    return tuple(options)


def _whose(config: Path) -> str:
    """Return the suffix of a message about a missing ssh configuration: how to make it, where that is a lab's."""
    from warpbeam.lab.state import LABS

    if not config.is_relative_to(LABS):
        return ""
    lab = config.relative_to(LABS).parts[0]
    return f": the lab {lab} is not up, which `sudo fab lab.up --name {lab}` mends"


def quoted(path: Path) -> str:
    """Return a path as a value of ssh_config(5): absolute, one word, literal %. Raises: Refused, where it cannot."""
    text = str(path.expanduser().absolute()).replace("%", "%%")
    if '"' in text or "\n" in text:
        raise Refused(f"ssh cannot be told of {text!r}", 'use a path without " and line ends')
    return f'"{text}"'


def ask_openssh(name: str, arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the output of `ssh -G`: lower-case keyword to its values, in order. Raises: Refused, where it fails."""
    command = ["ssh", "-G", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=30,
        )
    except FileNotFoundError:
        raise Refused("this machine has no `ssh`", "install OpenSSH's client (openssh-client)") from None
    except OSError as error:
        raise Refused(
            f"this machine cannot run `ssh -G`: {error.strerror}", "are --jobs too many for it?", host=name
        ) from None
    except subprocess.TimeoutExpired:
        message = f"{name}: `ssh -G` gave no answer within 30 s"
        raise Refused(message, "look for a slow `Match exec` in your ssh configuration") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if "Pseudo-terminal" not in line]
        raise Refused(
            f"OpenSSH rejects its configuration: {'; '.join(said) or f'exit status {done.returncode}'}",
            f"see what it says to: {shlex.join(command)}",
            host=name,
        )
    answer: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        answer[key] = (*answer.get(key, ()), value)
    return answer


def first(answer: Mapping[str, tuple[str, ...]], key: str) -> str:
    """Return the first value of a keyword, or an empty string."""
    return answer.get(key, ("",))[0]


def expand(text: str, tokens: Mapping[str, str], name: str) -> str:
    """Replace the percent tokens of ssh_config(5) and `${VARIABLE}`. Raises: Refused, where a token is unknown."""

    def token(match: re.Match[str]) -> str:
        if (value := tokens.get(match[1])) is None:
            raise Refused(f"its ssh configuration has %{match[1]} in {text!r}, which Warpbeam cannot follow", host=name)
        return value

    def variable(match: re.Match[str]) -> str:
        return os.environ.get(match[1], "")

    # Tokens first, so that a variable's value is not expanded again.
    return re.sub(r"\$\{(\w+)\}", variable, re.sub(r"%(.)", token, text))


def agent_socket(setting: str, tokens: Mapping[str, str], name: str) -> Path | None:
    """Return the agent's socket, or None; IdentityAgent is a path, `none`, `SSH_AUTH_SOCK` or `$VARIABLE`."""
    if setting == "none":
        return None
    if setting in ("", "SSH_AUTH_SOCK"):
        found = os.environ.get("SSH_AUTH_SOCK", "")
    elif setting.startswith("$") and not setting.startswith("${"):
        found = os.environ.get(setting[1:], "")
    else:
        found = expand(setting, tokens, name)
    return Path(found).expanduser() if found else None


def parse_hop(hop: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port of ProxyJump's `[user@]host[:port]` or `ssh://[user@]host[:port]`."""
    text = hop.removeprefix("ssh://").rstrip("/")
    user, _, place = text.rpartition("@")
    match = re.fullmatch(r"\[([^]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", place)
    if match is None:
        raise Refused(f"the jump host {hop!r} is not [user@]host[:port]")
    host, port = match[1] or match[3] or match[5], match[2] or match[4]
    return user or None, host, int(port) if port else None
