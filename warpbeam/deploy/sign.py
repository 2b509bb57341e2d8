"""Signing of artifacts that exist, by a person who names them: a release manager after CI, anyone after a rotation."""

from __future__ import annotations

from pathlib import Path

from warpbeam.build.signature import trust_of
from warpbeam.build.signing import check_key, sign_with
from warpbeam.deploy.named_artifact import chosen_artifact, signature_beside, split_names
from warpbeam.error import Misuse
from warpbeam.event import Emit, Note, Settled
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import KEY, DirectoryStore
from warpbeam.store.shared import SharedStore
from warpbeam.store.transfer import push as push_artifact


def sign_artifacts(
    named: str,
    key: str,
    inventory: Inventory,
    here: DirectoryStore,
    shared: SharedStore | None,
    emit: Emit,
    *,
    push: bool,
) -> None:
    """Sign the artifacts that a person names, in place of earlier signatures; they are on this machine from then on.

    Parameters:
        named: a key, several with commas between them, or a file, beside which the signature is written too.
        key: the file of the key to sign with; empty: that of `build.sign`.
        push: copy them to the shared store.

    Raises:
        Misuse: there is no key to sign with, or `named` is no artifact. Otherwise as `chosen_artifact`, `sign`, `push`.
    """
    signing_key = _signing_key(key, inventory)
    check_key(signing_key)
    trust = trust_of(inventory)
    for each in split_names([named]):
        artifact = chosen_artifact(each, inventory, here, shared, emit)
        if origin := here.origin(artifact.key):
            emit(Note("", f"{artifact.key} was not built on this machine: {origin}"))
        sign_with(artifact, signing_key, trust, here, emit)
        if not KEY.fullmatch(each):
            _write_beside(signature_beside(Path(each).expanduser()), artifact.signature_file.read_bytes())
        if push and shared is not None:
            push_artifact(artifact.key, here, shared, trust, emit)
        emit(Settled("", f"signed {artifact.key}, {inventory.app} {artifact.label}"))


def _signing_key(key: str, inventory: Inventory) -> Path:
    if key:
        try:
            return Path(key).expanduser().absolute()
        except RuntimeError:
            raise Misuse(f"--key {key}: there is no such user on this machine") from None
    if inventory.build.sign is None:
        hint = f"give --key, or set `build: {{sign: {{key: ...}}}}` in {inventory.file}"
        raise Misuse("there is no key to sign with", hint)
    return inventory.build.sign.key


def _write_beside(file: Path, text: bytes) -> None:
    try:
        file.unlink(missing_ok=True)
        file.write_bytes(text)
    except OSError as error:
        hint = "the artifact that this machine keeps is signed"
        raise Misuse(f"{file} cannot be written: {error.strerror}", hint) from None
