"""Trust in hosts: show their keys, and record those that the user confirms."""

# Paramiko's functions have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import paramiko

from warpbeam.error import Problem, Refused
from warpbeam.event import Emit, Note, Settled, Warn
from warpbeam.inventory.schema import Host, Ssh
from warpbeam.ssh.attempt import Attempt, Cut
from warpbeam.ssh.connection import Connection, connect
from warpbeam.ssh.hostkeys import HostKey, judge, known_keys, record
from warpbeam.ssh.refusal import refusal
from warpbeam.ssh.ssh_config import Settings
from warpbeam.ssh.transport import Transport

# One handshake shows one key, so each kind takes a handshake of its own; the usual kind first.
KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


def trust(hosts: Iterable[Host], ssh: Ssh, environment: str, confirm: Callable[[str], bool], emit: Emit) -> None:
    """Emit the keys of each host and of its jump hosts; record those of an unknown host if `confirm` returns true.

    A key that has changed is never replaced.

    Raises:
        Refused: at the end, when a host could not be reached, shows a changed or revoked key, or was not confirmed.
    """
    left: list[str] = []
    hints: list[str] = []
    met: set[str] = set()
    for host in hosts:
        try:
            settings = connect(host, None, ssh, environment).settings
            for one in hops(settings):
                if one.known_name in met:
                    continue
                met.add(one.known_name)
                learn(one, host.name, confirm, emit)
        except Problem as problem:
            emit(Settled(host.name, problem.message, good=False))
            left.append(host.name)
            hints.append(problem.hint)
    if left:
        raise Refused(f"not trusted: {', '.join(left)}", next((hint for hint in hints if hint), ""))


def hops(settings: Settings) -> Iterator[Settings]:
    """Yield the jump hosts of a host, the nearest to us first, then the host itself."""
    if settings.jump is not None:
        yield from hops(settings.jump)
    yield settings


def learn(settings: Settings, name: str, confirm: Callable[[str], bool], emit: Emit) -> None:
    """Emit the keys of one host; record them if it is unknown and `confirm` returns true. Raises: Refused."""
    shown = scan(settings)
    known = known_keys(settings)
    states = {key: judge(key, known) for key in shown}
    for key in shown:
        emit(Note(name, f"{settings.label}: {key.type} {key.fingerprint}"))
    if "revoked" in states.values():
        raise Refused("shows a host key that has been REVOKED", host=settings.name, place=settings.label)
    if "known" in states.values():
        emit(Settled(name, f"{settings.label} is known already"))
        return
    if "changed" in states.values():
        former = [entry for entry in known if not entry.marker and not entry.portless]
        for entry in former:
            emit(
                Warn(
                    name,
                    f"known until now: {entry.key.type} {entry.key.fingerprint} ({entry.file}:{entry.line})",
                )
            )
        raise Refused(
            "THE HOST KEY HAS CHANGED, and is not replaced",
            f"if you know why: ssh-keygen -R '{settings.known_name}' -f '{former[0].file}', and do this again",
            host=settings.name,
            place=settings.label,
        )
    if not confirm(f"Record the host key{'s' if len(shown) > 1 else ''} of {settings.label}?"):
        raise Refused("its host keys were not recorded", host=settings.name, place=settings.label)
    file, count = record(settings, shown)
    emit(Settled(name, f"{settings.label}: {count} host key{'s' if count != 1 else ''} recorded in {file}"))


def scan(settings: Settings) -> list[HostKey]:
    """Return the keys that a host shows, through its jump host if it has one. They prove nothing yet.

    Raises:
        Refused: the host cannot be reached, or shows no key.
    """
    shown = []
    for kinds in KINDS:
        connection = Connection(settings.name, lambda: settings)
        attempt = Attempt(settings.timeout)
        try:
            shown.append(shake_hands(connection, kinds, attempt))
        except paramiko.IncompatiblePeer:
            continue  # the host has no key of this kind
        except Problem:
            raise
        except (Cut, OSError, EOFError, paramiko.SSHException) as error:
            raise refusal(settings, error, attempt) from error
        finally:
            attempt.settle()
            connection.close()
    if not shown:
        raise Refused(
            "has no host key of a kind known here",
            "update the host's OpenSSH",
            host=settings.name,
            place=settings.label,
        )
    return shown


def shake_hands(connection: Connection, kinds: tuple[str, ...], attempt: Attempt) -> HostKey:
    """Do only the key exchange with a host; return the key with which it signed the exchange."""
    transport = Transport(connection.opening.reach(attempt))
    try:
        transport.prefer_host_keys(kinds)
        transport.bound(handshake=attempt.left())
        transport.start_client(timeout=attempt.left())
        key = transport.get_remote_server_key()
        return HostKey(key.get_name(), key.asbytes())
    finally:
        transport.close()
