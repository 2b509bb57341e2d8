"""Transfers of artifacts between this machine's store and a shared one; what comes from there is checked."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.signature import Trust
from warpbeam.build.tarball import difference
from warpbeam.error import Refused
from warpbeam.event import Emit, Note, Progress, Settled
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.manifest import HINT, read_manifest
from warpbeam.store.shared import (
    MOST_MANIFEST,
    Absent,
    SharedStore,
    Sink,
    read_text,
    sbom_name,
    tarball_name,
)
from warpbeam.store.signatures import pull_signature, push_signature
from warpbeam.store.store import PutLive

# Reads the tarball of a manifest: passes its bytes on, no more than the manifest says.
Reader = Callable[[Manifest, Sink], None]


def push(key: str, here: DirectoryStore, shared: SharedStore, trust: Trust, emit: Emit) -> bool:
    """Copy an artifact of this machine to the shared store; return False where that has the same one already.

    The manifest comes last: an interrupted push leaves no artifact there. Of two pushes at once, either is whole.

    Raises:
        Refused: this machine does not have it, or it was changed here. Unavailable, Failed: as `SharedStore`.
    """
    artifact = here.find(key)
    if artifact is None:
        raise Refused(f"there is no artifact {key} on this machine", "`fab ENV artifacts.list` shows those there are")
    if not artifact.is_unchanged():
        raise Refused(f"the artifact {key} on this machine was changed since it was built", "build it again")
    manifest, described = artifact.manifest, here.manifest_file(key)
    if _has_the_same(key, described, manifest, shared):
        push_signature(artifact, shared, trust, emit)
        # Its time says how old it is, by which a prune goes.
        shared.write(f"{key}.json", described, lambda count: None)
        emit(Note("", f"{key} is in the store {shared.label} already"))
        return False
    done = 0

    def on_sent(count: int) -> None:
        nonlocal done
        done += count
        emit(Progress("", "push", min(done, manifest.size), manifest.size))

    shared.write(tarball_name(key, manifest.sha256), artifact.tarball, on_sent)
    if (sbom := here.sbom_file(key)).exists():
        shared.write(sbom_name(key, manifest.sha256), sbom, lambda count: None)
    push_signature(artifact, shared, trust, emit)
    shared.write(f"{key}.json", described, lambda count: None)
    emit(Settled("", f"pushed {key}, {manifest.app} {artifact.label}, to {shared.label}"))
    return True


def _has_the_same(key: str, described: Path, manifest: Manifest, shared: SharedStore) -> bool:
    """Whether the shared store has this artifact: its manifest, and a tarball of its size under the digest's name."""
    try:
        there = read_text(shared, f"{key}.json", MOST_MANIFEST)
    except Absent:
        return False
    tarball = shared.files().get(tarball_name(key, manifest.sha256))
    return there == described.read_bytes() and tarball is not None and tarball.size == manifest.size


def pull(
    key: str,
    here: DirectoryStore,
    shared: SharedStore,
    inventory: Inventory,
    emit: Emit,
    differs: Callable[[Manifest], str] = lambda manifest: "",
) -> Artifact:
    """Copy an artifact of the shared store to this machine, check it, and return it.

    Parameters:
        differs: returns how a manifest is not the one that was expected, in a sentence, or empty text.

    Raises:
        Absent: the shared store does not have it.
        Refused: it is not what it says or may be; nothing of it is kept. Unavailable, Failed: as `SharedStore`.
    """
    where = f"{key}.json in the store {shared.label}"
    text = read_text(shared, f"{key}.json", MOST_MANIFEST)
    manifest = read_manifest(text, inventory, where)
    if wrong := differs(manifest):
        raise Refused(f"{where} is not what was asked for: {wrong}", HINT)

    def read(manifest: Manifest, sink: Sink) -> None:
        done = 0

        def on_piece(piece: bytes) -> None:
            nonlocal done
            sink(piece)
            done += len(piece)
            emit(Progress("", "pull", done, manifest.size))

        try:
            shared.read(tarball_name(key, manifest.sha256), manifest.size, on_piece)
        except Absent:
            raise Refused(f"{where} describes a tarball that the store does not have", "push it again") from None

    artifact = take_in(key, text, manifest, here, read, f"{key} in the store {shared.label}")
    _pull_sbom(key, manifest, here, shared)
    if signature := pull_signature(key, manifest, shared, emit):
        here.keep_signature(key, signature.text)
    emit(Settled("", f"pulled {key}, {manifest.app} {artifact.label}, from {shared.label}"))
    return artifact


def take_in(key: str, text: bytes, manifest: Manifest, here: DirectoryStore, read: Reader, where: str) -> Artifact:
    """Put an artifact from elsewhere into this machine's store, and return it.

    Parameters:
        text: the manifest as it came, which is kept byte for byte.
        where: the artifact as messages name it.

    Raises:
        Refused: its tarball is not what the manifest says; nothing of it is kept.
    """
    here.check_room(manifest.size, "")
    digest = hashlib.sha256()
    with here.incoming(key) as file:

        def sink(piece: bytes) -> None:
            file.write(piece)
            digest.update(piece)

        read(manifest, sink)
        file.flush()
        if digest.hexdigest() != manifest.sha256:
            raise Refused(f"{where} is not what its manifest says: its checksum is another", HINT)
        if wrong := difference(Path(file.name), manifest.files):
            raise Refused(f"{where} is not what its manifest says: {wrong}", HINT)
        return here.keep(key, manifest, manifest.sha256, text, origin=where)


def _pull_sbom(key: str, manifest: Manifest, here: DirectoryStore, shared: SharedStore) -> None:
    """Copy the artifact's SBOM, where there is one: nothing depends on it but the person who reads it."""
    try:
        text = read_text(shared, sbom_name(key, manifest.sha256), MOST_MANIFEST)
        msgspec.json.decode(text)
    except (Absent, msgspec.DecodeError, RecursionError):
        return
    here.keep_sbom(key, text)


def push_live(live: PutLive, shared: SharedStore, environment: str) -> None:
    """Record in the shared store what was put live in `environment`, so that no machine's prune removes it there."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(msgspec.json.encode(live))
        file.flush()
        shared.write(f"{environment}.live", Path(file.name), lambda count: None)
