"""Signatures of artifacts in a shared store: beside the tarball, under a name that has its digest too."""

from __future__ import annotations

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.signature import MOST_SIGNATURE, Signature, Trust, Unsound, check, parse_signature, read_signature
from warpbeam.error import Failed, Refused
from warpbeam.event import Emit, Note, Warn
from warpbeam.store.shared import Absent, SharedStore, Unavailable, read_text, signature_name


def push_signature(artifact: Artifact, shared: SharedStore, trust: Trust, emit: Emit) -> None:
    """Copy the artifact's signature, where there is one, in place of the one that the shared store has.

    One that counts by `trust` is not replaced by one that does not: another machine may have signed it anew meanwhile.

    Raises: Refused, where the file is no signature.
    """
    try:
        signature = read_signature(artifact.signature_file)
    except Unsound as unsound:
        hint = f"`fab ENV artifacts.sign {artifact.key}` signs it anew; or remove that file"
        raise Refused(f"{artifact.signature_file} {unsound}", hint) from None
    if signature is None:
        return
    name = signature_name(artifact.key, artifact.manifest.sha256)
    try:
        there = read_text(shared, name, MOST_SIGNATURE)
    except (Absent, Refused):
        there = b""
    if there != signature.text:
        if there and trust.allowed and _counts_less(signature, there, artifact, trust):
            emit(Warn("", f"{artifact.key}: the store's signature counts and this machine's does not: that one stays"))
            return
        shared.write(name, artifact.signature_file, lambda count: None)
        what = "its new signature replaces the one there" if there else "signed"
        emit(Note("", f"{artifact.key}: {what}, by the key {signature.fingerprint}"))


def _counts_less(signature: Signature, there: bytes, artifact: Artifact, trust: Trust) -> bool:
    """Whether the signature does not count and that of the shared store, `there`, does."""
    try:
        other = parse_signature(there)
    except Unsound:
        return False
    return bool(check(signature, artifact, trust).problem) and not check(other, artifact, trust).problem


def signature_in(shared: SharedStore, key: str, sha256: str) -> Signature | None:
    """Return the signature of an artifact in the shared store, or None. Raises: Unsound, Refused, Failed."""
    try:
        return parse_signature(read_text(shared, signature_name(key, sha256), MOST_SIGNATURE))
    except Absent:
        return None


def pull_signature(key: str, manifest: Manifest, shared: SharedStore, emit: Emit) -> Signature | None:
    """Return the artifact's signature in the shared store; None where there is none or, with a warning, no sound one.

    It has the form of a signature. Who made it, and of what, is checked where that matters. Raises: Unavailable.
    """
    name = signature_name(key, manifest.sha256)
    try:
        return signature_in(shared, key, manifest.sha256)
    except Unavailable:
        raise
    except (Unsound, Refused, Failed) as wrong:
        what = f"{name} in the store {shared.label} {wrong}" if isinstance(wrong, Unsound) else wrong.message
        emit(Warn("", f"{what}; it is left out, so the artifact counts as unsigned"))
        return None
