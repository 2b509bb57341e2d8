"""Signing of releases on this machine: with a key file, a key of the ssh agent, or a hardware key."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from warpbeam.bound import KEPT_COMPLAINTS
from warpbeam.build.artifact import Artifact
from warpbeam.build.signature import (
    NAMESPACE,
    Trust,
    Unsound,
    check,
    check_age,
    check_file,
    keygen_command,
    missing_keygen,
    parse_signature,
    read_signature,
    statement_of,
    trust_of,
)
from warpbeam.environ import for_shell
from warpbeam.error import Failed, Misuse, Refused
from warpbeam.event import Ask, Emit, Note, Warn
from warpbeam.visible import visible

if TYPE_CHECKING:
    from warpbeam.inventory.schema import Inventory
    from warpbeam.store.directory import DirectoryStore
    from warpbeam.store.store import Store

# Seconds for an agent, or for a program that asks elsewhere than on a terminal. A person at a terminal has any time.
UNATTENDED = 60
# Seconds in which an interrupted ssh-keygen turns the echo of the terminal on again.
GRACE = 2
# Bytes of a key file: a private RSA key of 16384 bits has 13,000.
MOST_KEY = 64 * 1024
OTHERS = 0o077
# The words of ssh-keygen when a hardware key waits for a touch.
TOUCH = "Confirm user presence"
# Lines that say what we say.
IDLE = ("Signing ", "Write signature to ", "@@@", "Enter passphrase", "Enter PIN")
WHERE = "see `build.sign` in the inventory, or --key"


def check_key(key: Path) -> bool:
    """Check that a key could sign, before a build that takes minutes; return whether it is a private key's file.

    Raises: Misuse, where it is no key, or a private key that others can read.
    """
    try:
        with key.open("rb") as file:
            text = file.read(MOST_KEY + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise Misuse(f"the key {key} cannot be read: {error.strerror}", WHERE) from None
    private = text.startswith(b"-----BEGIN ") and b"PRIVATE KEY-----" in text
    if len(text) > MOST_KEY or not (private or text.startswith((b"ssh-", b"ecdsa-", b"sk-"))):
        raise Misuse(f"{key} is no key of ssh", f"`ssh-keygen -t ed25519` makes one; {WHERE}")
    if private and mode & OTHERS:
        what = f"the private key {key} can be read by others (mode {mode & 0o777:04o}), and ssh-keygen ignores it"
        raise Misuse(what, f"chmod 600 {key}; if others could use this machine, make a new key")
    return private


def sign_made(artifact: Artifact, inventory: Inventory, store: Store, emit: Emit) -> None:
    """Sign an artifact that was just built, where `build.sign` names a key. Raises: as `sign`."""
    if inventory.build.sign is not None:
        sign_with(artifact, inventory.build.sign.key, trust_of(inventory), store, emit)


def sign_kept(artifact: Artifact, inventory: Inventory, store: DirectoryStore, emit: Emit) -> None:
    """Sign an artifact that is kept on this machine and used now, where `build.sign` names a key and it has none.

    An artifact that came from elsewhere is not signed without a person's word: a store is not believed. Raises: as
    `sign`.
    """
    if inventory.build.sign is None:
        return
    try:
        signature = read_signature(artifact.signature_file)
    except Unsound as unsound:
        emit(Warn("", f"{artifact.signature_file} {unsound}"))
        signature = None
    if signature is not None:
        return
    if origin := store.origin(artifact.key):
        what = f"{artifact.key} has no signature, and is not signed by itself, because it was not built here: {origin}"
        emit(Warn("", f"{what}; `fab ENV artifacts.sign {artifact.key}` signs it"))
        return
    sign_with(artifact, inventory.build.sign.key, trust_of(inventory), store, emit)


def sign_with(artifact: Artifact, key: Path, trust: Trust, store: Store, emit: Emit) -> None:
    """Sign an artifact of this machine's store, in place of an earlier signature; warn where that will not count.

    Raises: Refused, where the earlier one counts and the new one does not. Otherwise as `sign`.
    """
    text = sign(artifact, key, trust, emit)
    verdict = check(parse_signature(text), artifact, trust)
    if verdict.problem and trust.allowed is not None and (before := check_file(artifact, trust)).signer:
        raise Refused(
            f"{artifact.key} is signed by {before}, and a signature with {key} would not count: {verdict.problem}",
            f"sign with a key that {trust.allowed} allows; the signature that there is stays",
            nothing_changed=True,
        )
    store.keep_signature(artifact.key, text)
    if verdict.problem:
        emit(Warn("", f"{artifact.key} is signed, but no deploy takes it: {verdict.problem}"))


def sign(artifact: Artifact, key: Path, trust: Trust, emit: Emit) -> bytes:
    """Return the signature of an artifact by `key`; a passphrase or a touch is asked of the person at the terminal.

    Raises:
        Misuse: the key cannot be used: as `check_key`, its agent does not have it, or nobody can be asked.
        Refused: nobody answered in time. Failed: ssh-keygen could not sign.
    """
    private = check_key(key)
    attended = has_terminal()
    if attended:
        emit(Ask(""))
    # An agent's key asks for its touch where the agent runs.
    touch = "; touch the hardware key when it blinks" if not private and key.read_bytes().startswith(b"sk-") else ""
    emit(Note("", f"signing {artifact.manifest.app} {artifact.label} with {key}{touch}"))
    with tempfile.TemporaryDirectory(prefix="warpbeam-") as directory:
        text = Path(directory, "statement")
        text.write_bytes(statement_of(artifact, trust))
        # Not on standard input, which ssh-keygen needs for the passphrase.
        status, said = _run(keygen_command("sign", "-f", str(key), "-n", NAMESPACE, str(text)), attended, key, emit)
        check_age(said)
        if status != 0:
            raise _explained(key, said, private=private, attended=attended)
        try:
            return parse_signature(Path(f"{text}.sig").read_bytes()).text
        except (OSError, Unsound) as error:
            raise Failed(f"ssh-keygen signed with {key}, but made no signature: {error}") from None


def has_terminal() -> bool:
    """Return whether this process has a terminal, on which a person can be asked."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _run(command: list[str], attended: bool, key: Path, emit: Emit) -> tuple[int, str]:
    """Run ssh-keygen; return its exit status and its last complaints. A person is shown at once what it waits for."""
    with contextlib.ExitStack() as stack:
        # ssh-keygen asks with SSH_ASKPASS where standard input is no terminal, even if there is one.
        stdin = stack.enter_context(Path("/dev/tty").open("rb")) if attended else subprocess.DEVNULL
        process = stack.enter_context(_started(command, stdin, attended))
        said: list[str] = []
        reader = threading.Thread(target=_read, args=(process.stderr, said, emit), daemon=True)
        reader.start()
        try:
            process.wait(None if attended else UNATTENDED)
        except subprocess.TimeoutExpired:
            what = f"{key} did not sign within {UNATTENDED} s, and there is no terminal to ask on"
            raise Refused(what, "an agent may wait for a person to confirm, a hardware key for a touch") from None
        reader.join(GRACE)
        return process.returncode, "\n".join(said)


@contextlib.contextmanager
def _started(command: list[str], stdin: IO[bytes] | int, attended: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Start ssh-keygen; at the end it has ended, and the terminal shows again what is typed."""
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_variables(attended),
            # Without this, ssh-keygen would search for a terminal by itself.
            start_new_session=not attended,
        )
    except FileNotFoundError:
        raise missing_keygen() from None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _variables(attended: bool) -> dict[str, str]:
    """Return the variables of ssh-keygen. Without a terminal, SSH_ASKPASS counts also where there is no screen."""
    own = {**for_shell(), "LC_ALL": "C"}
    if own.get("SSH_ASKPASS") and not attended:
        own.setdefault("SSH_ASKPASS_REQUIRE", "force")
    return own


def _read(stream: IO[bytes], said: list[str], emit: Emit) -> None:
    """Collect what ssh-keygen says; show a request for a touch at once."""
    left = KEPT_COMPLAINTS
    for piece in stream:
        line = visible(piece.decode("utf-8", "replace").strip())[:500]
        left -= len(line)
        if line.startswith(TOUCH):
            emit(Note("", f"touch the hardware key now: {line}"))
        elif line and left > 0:
            said.append(line)


def _explained(key: Path, said: str, *, private: bool, attended: bool) -> Misuse | Failed:
    """Return the error for what ssh-keygen says."""
    if "incorrect passphrase" in said:
        if attended:
            return Misuse(f"the passphrase was not that of {key}", "run the same command again")
        if os.environ.get("SSH_ASKPASS"):
            return Misuse(f"the passphrase that SSH_ASKPASS gave is not that of {key}")
        what = f"{key} has a passphrase, and there is no terminal to ask for it on"
        return Misuse(what, "add it to the ssh agent (ssh-add), set SSH_ASKPASS, or use a key without a passphrase")
    if "No private key found" in said and not private:
        agent = "the ssh agent does not have" if os.environ.get("SSH_AUTH_SOCK") else "there is no ssh agent with"
        what = f"{agent} the private half of {key}, and it is not beside it"
        return Misuse(what, "ssh-add it, plug the hardware key in, or name the private key itself")
    lines = [line for line in said.splitlines() if not line.startswith(IDLE)]
    hint = "is the hardware key plugged in?" if "device not found" in said else ""
    what = f"ssh-keygen could not sign with {key}: {lines[-1] if lines else 'it said nothing'}"
    return Failed(what, hint, tuple(lines[:-1]))
