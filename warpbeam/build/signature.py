"""The signature of a release: what is signed, what a signature must look like, and whose signatures count.

ssh-keygen(1) makes and checks signatures (`-Y`). Nothing that a signature file says is believed before it was checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.digest import digests
from warpbeam.environ import for_shell
from warpbeam.error import Misuse, Refused
from warpbeam.inventory.signers import read_signers

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory

# The namespace keeps signatures of one purpose from counting for another (ssh-keygen(1), -n).
NAMESPACE = "warpbeam-release"
# Bytes of a signature: one of an RSA key of 16384 bits has 6,000.
MOST_SIGNATURE = 16 * 1024
# Seconds for a check, which reads two small files.
CHECKING = 30
ARMOUR = re.compile(r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n")
PRINTABLE = re.compile(rb"[\n\x20-\x7e]*")
OLD = re.compile(r"(unknown|illegal|invalid) option -- '?Y|Unsupported argument for -Y", re.IGNORECASE)


class Unsound(Exception):
    """A signature is not one, or is not for a release; the text says how, to be put after its name."""


class Signature(msgspec.Struct, frozen=True):
    """A signature as it lies beside an artifact; `fingerprint` is that of the key that it names, unchecked."""

    text: bytes
    fingerprint: str


class Trust(msgspec.Struct, frozen=True):
    """The app whose releases are signed, and the files that say whose signatures count; without `allowed`, all do."""

    org: str
    app: str
    allowed: Path | None = None
    revoked: Path | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The result of a check: the principal of the key, as the allowed signers name it, or else a `problem`."""

    signer: str = ""
    fingerprint: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.signer} ({self.fingerprint})" if self.signer else self.fingerprint


def trust_of(inventory: Inventory) -> Trust:
    """Return whose signatures count in an environment. Raises: Misuse, where a file of signers is not as it must be."""
    # Hosts get the same files, so that what counts here counts there.
    read_signers(inventory)
    plan = inventory.deploy
    return Trust(inventory.org, inventory.app, plan.allowed_signers, plan.revoked_signers)


def statement(org: str, app: str, digest: str) -> bytes:
    """Return the text that is signed: the app, and the digest of the release as its hosts compute it."""
    return f"warpbeam-release 1\n{org}/{app}\n{digest}\n".encode()


def statement_of(artifact: Artifact, trust: Trust) -> bytes:
    """Return the text that a signature of this artifact signs."""
    return statement(trust.org, trust.app, digests(artifact)[0])


def read_signature(file: Path) -> Signature | None:
    """Return the signature in a file, or None where there is no such file. Raises: Unsound."""
    try:
        # Without O_NONBLOCK, a pipe in the file's place would keep this process waiting.
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unsound(f"cannot be read: {'it is a link' if file.is_symlink() else error.strerror}") from None
    with os.fdopen(number, "rb") as opened:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise Unsound("is no plain file")
        return parse_signature(opened.read(MOST_SIGNATURE + 1))


def parse_signature(text: bytes) -> Signature:
    """Return a signature from its text (OpenSSH's PROTOCOL.sshsig). Raises: Unsound, where it is none for a release."""
    if len(text) > MOST_SIGNATURE:
        raise Unsound(f"has more than {MOST_SIGNATURE} bytes, which no signature has")
    found = ARMOUR.fullmatch(text.decode("ascii")) if PRINTABLE.fullmatch(text) else None
    if found is None:
        raise Unsound("is no signature of ssh-keygen's")
    try:
        body = base64.b64decode(found[1].replace("\n", ""), validate=True)
    except binascii.Error:
        raise Unsound("is no signature of ssh-keygen's") from None
    # Six bytes of a word, four of a version; then the key and the namespace.
    key, rest = _text_in(body[10:])
    namespace, _ = _text_in(rest)
    if not body.startswith(b"SSHSIG\0\0\0\1") or not key:
        raise Unsound("is no signature of ssh-keygen's")
    if namespace != NAMESPACE.encode():
        shown = namespace[:60].decode("ascii", "replace")
        raise Unsound(f"is for the namespace {shown!r}; expected {NAMESPACE!r}")
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return Signature(text, f"SHA256:{digest}")


def _text_in(body: bytes) -> tuple[bytes, bytes]:
    """Return the text at the beginning of `body`, whose length is before it, and the rest; both empty if cut off."""
    size = int.from_bytes(body[:4], "big")
    return (body[4 : 4 + size], body[4 + size :]) if 4 <= 4 + size <= len(body) else (b"", b"")


def check_file(artifact: Artifact, trust: Trust) -> Verdict:
    """Return the verdict about the signature beside an artifact of this machine. Raises: as `check`."""
    try:
        return check(read_signature(artifact.signature_file), artifact, trust)
    except Unsound as unsound:
        return Verdict(problem=f"its signature {unsound}")


def check(signature: Signature | None, artifact: Artifact, trust: Trust) -> Verdict:
    """Return who signed an artifact, or why its signature does not count. Without allowed signers, all are believed.

    Raises: Misuse, where this machine's ssh-keygen or the files that say who may sign cannot be used.
    """
    if signature is None:
        return Verdict(problem="it is not signed" if trust.allowed else "")
    if trust.allowed is None:
        return Verdict(fingerprint=signature.fingerprint)
    for file in (trust.allowed, trust.revoked):
        if file is not None and not os.access(file, os.R_OK):
            raise Misuse(f"{file} cannot be read", "see deploy.allowed_signers and deploy.revoked_signers")
    with tempfile.NamedTemporaryFile(prefix="warpbeam-", suffix=".sig") as written:
        written.write(signature.text)
        written.flush()
        return _checked(Path(written.name), statement_of(artifact, trust), trust, signature.fingerprint)


def _checked(file: Path, text: bytes, trust: Trust, fingerprint: str) -> Verdict:
    who = ("-s", str(file), "-f", str(trust.allowed))
    listed = keygen("find-principals", *who)
    # A principal may be a pattern that excludes: `!name`.
    principals = [name for name in listed.stdout.decode("utf-8", "replace").splitlines() if name[:1] not in ("", "!")]
    if not principals:
        return Verdict(fingerprint=fingerprint, problem=_disallowed(listed, trust, fingerprint))
    problem = ""
    for name in principals:
        wanted = (*who, "-I", name, "-n", NAMESPACE)
        revoked = () if trust.revoked is None else ("-r", str(trust.revoked))
        done = keygen("verify", *wanted, *revoked, text=text)
        if done.returncode == 0:
            return Verdict(name, fingerprint)
        # ssh-keygen says nothing about a revoked key.
        if revoked and keygen("verify", *wanted, text=text).returncode == 0:
            return Verdict(fingerprint=fingerprint, problem=f"its key {fingerprint} of {name} is revoked")
        problem = problem or _unverified(done, trust, f"{fingerprint} of {name}")
    return Verdict(fingerprint=fingerprint, problem=problem)


def _disallowed(done: subprocess.CompletedProcess[bytes], trust: Trust, fingerprint: str) -> str:
    """Return why no principal may sign with a key, from the complaints of ssh-keygen."""
    said = done.stderr.decode("utf-8", "replace")
    if found := re.search(r"key has expired: verify time \S+ > valid-before (\S+)", said):
        return f"its key {fingerprint} has expired: {trust.allowed} allows it until {found[1]}"
    if found := re.search(r"key is not yet valid: verify time \S+ < valid-after (\S+)", said):
        return f"its key {fingerprint} is not yet valid: {trust.allowed} allows it from {found[1]}"
    return f"its key {fingerprint} is not among those of {trust.allowed}"


def _unverified(done: subprocess.CompletedProcess[bytes], trust: Trust, key: str) -> str:
    """Return why a signature of an allowed key does not count, from the complaints of ssh-keygen."""
    said = done.stderr.decode("utf-8", "replace")
    if "not permitted for use in signature namespace" in said:
        return f"{trust.allowed} does not allow its key {key} to sign in the namespace {NAMESPACE}"
    if "incorrect signature" in said:
        return f"its signature by the key {key} is of another release, or of another app"
    lines = said.strip().splitlines()
    return f"its signature by the key {key} is not valid{': ' + lines[-1][:200] if lines else ''}"


def keygen(verb: str, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y VERB` with `text` on standard input. Raises: Misuse, where it is missing or too old."""
    try:
        done = subprocess.run(  # noqa: S603
            keygen_command(verb, *arguments),
            input=text,
            capture_output=True,
            env={**for_shell(), "LC_ALL": "C"},
            timeout=CHECKING,
            check=False,
        )
    except FileNotFoundError:
        raise missing_keygen() from None
    except subprocess.TimeoutExpired:
        raise Refused(f"`ssh-keygen -Y {verb}` did not end within {CHECKING} s") from None
    check_age(done.stderr.decode("utf-8", "replace"))
    return done


def keygen_command(verb: str, *arguments: str) -> list[str]:
    """Return the command line of ssh-keygen for signatures."""
    return ["ssh-keygen", "-Y", verb, *arguments]


def missing_keygen() -> Misuse:
    """Return the error where this machine has no ssh-keygen."""
    return Misuse("ssh-keygen is not installed on this machine", "on Debian: apt-get install openssh-client")


def check_age(said: str) -> None:
    """Check that ssh-keygen does not complain about `-Y`. Raises: Misuse, where it does: it is too old."""
    if OLD.search(said):
        hint = "OpenSSH 8.9 or later has all that is needed; `ssh -V` says which one this is"
        raise Misuse("ssh-keygen on this machine is too old for signatures", hint)
