"""Host keys: checked against the known_hosts files of OpenSSH, and recorded in them.

Paramiko keeps one key a type, stops at a line that it cannot read, and knows no markers. So this module reads the
files line by line, as sshd(8) describes them under SSH_KNOWN_HOSTS FILE FORMAT.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from warpbeam.error import Problem, Refused
from warpbeam.ssh.ssh_config import Settings

FIELDS = 3  # a line needs names, type and key before its comment


class HostKey(msgspec.Struct, frozen=True):
    """A public key that a host has shown: its type (`ssh-ed25519`) and its bytes."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint as `ssh-keygen -l` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def text(self) -> str:
        """The key as it follows the names in a line of known_hosts."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"


class Known(msgspec.Struct, frozen=True):
    """A line of a known_hosts file that matches a host.

    `portless` marks a line for the bare name of a host whose port is not 22: OpenSSH accepts its key when it is the
    same, and ignores the line when it is another (sshconnect.c, "checking without port identifier").
    """

    key: HostKey
    marker: Literal["", "cert-authority", "revoked"]
    file: Path
    line: int
    portless: bool = False


State = Literal["known", "unknown", "changed", "revoked"]


def judge(shown: HostKey, known: Sequence[Known]) -> State:
    """Return the state of the key that a host has shown, by known_hosts. A revocation outweighs everything."""
    if any(entry.marker == "revoked" and entry.key.blob == shown.blob for entry in known):
        return "revoked"
    plain = [entry for entry in known if not entry.marker]
    if any(entry.key.blob == shown.blob for entry in plain):
        return "known"
    return "changed" if any(not entry.portless for entry in plain) else "unknown"


def known_keys(settings: Settings) -> tuple[Known, ...]:
    """Return every line about this host in its known_hosts files, the user's own files first.

    Raises:
        Refused: a file exists and cannot be read.
    """
    bare = (settings.host_key_alias or settings.hostname).lower()
    files = (*settings.user_known_hosts, *settings.global_known_hosts)
    return tuple(entry for file in files for entry in read_known(file, settings.known_name, bare))


def read_known(file: Path, name: str, bare: str) -> Iterator[Known]:
    """Yield the lines of one file that match `name`, or `bare`, the name without port; skip unreadable lines."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Refused(f"cannot read the known host keys in {file}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        marker: Literal["", "cert-authority", "revoked"] = ""
        if fields and fields[0] in ("@cert-authority", "@revoked"):
            marker = "revoked" if fields.pop(0) == "@revoked" else "cert-authority"
        if len(fields) < FIELDS or fields[0].startswith(("#", "@")):
            continue
        exact = matches(fields[0], name)
        if not exact and not (bare != name and matches(fields[0], bare)):
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield Known(HostKey(fields[1], blob), marker, file, number, portless=not exact)


def matches(patterns: str, name: str) -> bool:
    """Return whether the first field of a line, one hashed name or patterns between commas, matches a host's name."""
    if patterns.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in patterns[3:].split("|"))
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    found = False
    for pattern in patterns.lower().split(","):
        wild = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(wild, name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def preferred_types(known: Sequence[Known], allowed: Sequence[str], able: Sequence[str]) -> tuple[str, ...]:
    """Return the key types to ask a host for, those of known keys first.

    A host shows one key only. If it has several, one that known_hosts does not have would look like a changed key.
    `allowed` is ssh_config's HostKeyAlgorithms, `able` the algorithms of the SSH library.
    """
    possible = [kind for kind in allowed if kind in able] or list(able)
    sound = {algorithm for entry in known if not entry.marker for algorithm in algorithms(entry.key.type)}
    return tuple(sorted(possible, key=lambda kind: kind not in sound))


def algorithms(key_type: str) -> tuple[str, ...]:
    """Return the signature algorithms of a key type: an RSA key has two today (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


def check(settings: Settings, shown: HostKey, known: Sequence[Known]) -> None:
    """Check that the key that a host has shown is known to be its own.

    Raises:
        Refused: the key is unknown, is not the known one, or is revoked.
    """
    state = judge(shown, known)
    if state == "revoked" or revoked_by_file(settings, shown):
        raise Refused(
            f"shows a host key that has been REVOKED: {shown.type} {shown.fingerprint}",
            "somebody may hold a copy of it: do not connect before the host's operator has explained this",
            host=settings.name,
            place=settings.label,
        )
    if state == "changed":
        raise changed(settings, shown, known)
    if state == "unknown":
        raise unknown(settings, shown, known)


def trusting(settings: Settings) -> str:
    """Return the command that would record this host's key."""
    return f"fab {settings.environment} hosts.trust -H {settings.inventory_name}"


def unknown(settings: Settings, shown: HostKey, known: Sequence[Known]) -> Problem:
    """Return the refusal of a host whose key is not known."""
    reason = f"is not known: its host key is {shown.type} {shown.fingerprint}"
    if any(entry.marker == "cert-authority" for entry in known):
        reason += "; only a certificate authority vouches for it, which Warpbeam cannot check"
    hint = f"if that is its fingerprint, record it with: {trusting(settings)}"
    return Refused(reason, hint, host=settings.name, place=settings.label)


def changed(settings: Settings, shown: HostKey, known: Sequence[Known]) -> Problem:
    """Return the refusal of a host whose key is not the known one."""
    former = [entry for entry in known if not entry.marker and not entry.portless]
    details = [f"known: {e.key.type} {e.key.fingerprint} ({e.file}:{e.line})" for e in former]
    place = former[0]
    return Refused(
        f"THE HOST KEY HAS CHANGED. Shown: {shown.type} {shown.fingerprint}; {'; '.join(details)}",
        "either the host was installed anew, or somebody else answers in its place. Ask its operator; only "
        f"then: ssh-keygen -R '{settings.known_name}' -f '{place.file}', and {trusting(settings)}",
        host=settings.name,
        place=settings.label,
    )


def revoked_by_file(settings: Settings, shown: HostKey) -> bool:
    """Return whether the key is in a file of RevokedHostKeys: a key a line, or a KRL, which ssh-keygen(1) reads."""
    for file in settings.revoked_host_keys:
        try:
            content = file.read_bytes()
        except OSError as error:
            # An unreadable list of revoked keys refuses every key, as in OpenSSH (ssh_config(5)).
            hint = "mend RevokedHostKeys in your ssh configuration"
            raise Refused(f"cannot read the revoked host keys in {file}: {error.strerror}", hint) from error
        if content.startswith(b"SSHKRL\n\0"):
            asked = subprocess.run(  # noqa: S603
                ["ssh-keygen", "-Q", "-f", str(file), "/dev/stdin"],  # noqa: S607
                input=shown.text + "\n", capture_output=True, text=True, check=False,
            )  # fmt: skip
            if asked.returncode:
                return True
        elif any(shown.text.split()[1].encode() in line.split() for line in content.splitlines()):
            return True
    return False


def record(settings: Settings, keys: Iterable[HostKey]) -> tuple[Path, int]:
    """Add keys to the first of the user's known_hosts files; return that file and how many keys were new in it.

    The file (0600) and its directory (0700) are created where they do not exist. One write under a lock keeps two
    processes from mixing or repeating lines. A symbolic link stays one.

    Raises:
        Refused: no such file is configured, or it cannot be written.
    """
    if not settings.user_known_hosts:
        hint = "set UserKnownHostsFile, or `ssh: known_hosts:` in the inventory"
        raise Refused("no known_hosts file to record host keys in", hint, host=settings.name, place=settings.label)
    file = settings.user_known_hosts[0]
    bare = (settings.host_key_alias or settings.hostname).lower()
    name = hashed(settings.known_name) if settings.hash_names else settings.known_name
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise Refused(f"cannot record host keys in {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb+", buffering=0) as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        there = {
            entry.key.blob
            for entry in read_known(file, settings.known_name, bare)
            if not entry.marker and not entry.portless
        }
        fresh = [key for key in dict.fromkeys(keys) if key.blob not in there]
        if fresh:
            size = opened.seek(0, os.SEEK_END)
            unended = size > 0 and os.pread(opened.fileno(), 1, size - 1) != b"\n"
            lines = "".join(f"{name} {key.text}\n" for key in fresh)
            opened.write((("\n" if unended else "") + lines).encode())
            os.fsync(opened.fileno())
    return file, len(fresh)


def hashed(name: str) -> str:
    """Return a name as HashKnownHosts writes it: salted, so that the file does not reveal its owner's hosts."""
    salt = secrets.token_bytes(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
