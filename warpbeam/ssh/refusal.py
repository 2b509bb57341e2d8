"""Refusals: why a host could not be reached, in words for the user."""

from __future__ import annotations

import errno
import socket

import paramiko

from warpbeam.error import Problem, Refused, Unreachable, Unready
from warpbeam.ssh.attempt import Attempt, Cut, ProxyCommand
from warpbeam.ssh.authentication import Keys
from warpbeam.ssh.ssh_config import Settings

OPEN_FILES = "every host takes two or three: --jobs does fewer at a time, `ulimit -n` shows how many there may be"


def refusal(
    settings: Settings,
    error: Exception,
    attempt: Attempt,
    keys: Keys | None = None,
    proxy: ProxyCommand | None = None,
) -> Problem:
    """Return the error, for the user, for an error of the network, of the SSH library or of the host's server."""
    label, port = settings.label, settings.port
    if attempt.cause == "interrupt":
        return Refused("interrupted while connecting", host=settings.name, place=label)
    if isinstance(error, Cut | TimeoutError) or attempt.cause:
        return Unreachable(
            f"did not answer within {attempt.seconds:g} s",
            "is the host up, its address right, and no firewall between? `ssh: connect_timeout:` bounds the wait",
            host=settings.name,
            place=label,
        )
    if isinstance(error, socket.gaierror):
        hint = "give the host an `address:` in the inventory, or a HostName in ~/.ssh/config"
        return Unreachable(
            f"there is no address for the name {settings.hostname}", hint, host=settings.name, place=label
        )
    if isinstance(error, ConnectionRefusedError):
        hint = f"is sshd running there, and listening on port {port}?"
        return Unreachable(f"refuses connections to port {port}", hint, host=settings.name, place=label)
    if keys is not None and isinstance(error, paramiko.AuthenticationException):
        return not_let_in(settings, keys)
    if proxy is not None and (said := proxy.last_words()):
        return Refused(
            f"its ProxyCommand failed: {said}", f"it is: {settings.proxy_command}", host=settings.name, place=label
        )
    if isinstance(error, paramiko.IncompatiblePeer):
        return Refused(
            f"no SSH algorithm in common: {error}", "update the host's OpenSSH", host=settings.name, place=label
        )
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Refused(
            f"this machine cannot open more files: {error.strerror}", OPEN_FILES, host=settings.name, place=label
        )
    if isinstance(error, OSError):
        hint = "is the host up, its address right, and no firewall between?"
        return Unreachable(f"cannot be reached: {error.strerror or error}", hint, host=settings.name, place=label)
    return Refused(
        f"ended the connection before it had begun: {error or type(error).__name__}",
        f"does an SSH server listen on port {port}? Many connections at once exceed its MaxStartups: fewer --jobs",
        host=settings.name,
        place=label,
    )


def not_let_in(settings: Settings, keys: Keys) -> Problem:
    """Return the refusal of a host that accepts none of our keys."""
    tried = f"keys tried: {', '.join(keys.offered)}" if keys.offered else "there was no key to try"
    reason = f"does not let {settings.user} in; {tried}"
    if keys.unreadable:
        reason += f"; could not be read: {'; '.join(keys.unreadable)}"
    if keys.locked:
        return Refused(
            f"{reason}; locked by a passphrase: {', '.join(keys.locked)}",
            f"hand it to your agent: ssh-add {keys.locked[0]}",
            host=settings.name,
            place=settings.label,
        )
    return Unready(
        reason,
        "has `fab ENV setup` run, which makes the deploy user? Is the public key in "
        f"{settings.user}'s ~/.ssh/authorized_keys there, and does its sshd_config let it in "
        "(AllowUsers, AllowGroups)? `ssh-add -l` lists your agent's keys",
        host=settings.name,
        place=settings.label,
    )
