"""Artifacts as rows: what this machine has, what the shared store has, and which are live in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from warpbeam.bound import MEGABYTE
from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.signature import Trust, Verdict, check, check_file, trust_of
from warpbeam.error import Refused
from warpbeam.event import Emit, Warn, silent
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.manifest import read_manifest
from warpbeam.store.shared import (
    MOST_MANIFEST,
    NAME,
    Absent,
    SharedStore,
    StoredFile,
    Unavailable,
    read_text,
    signature_name,
)
from warpbeam.store.signatures import pull_signature
from warpbeam.store.store import PutLive

# A record of what is live is a few hundred bytes, and a subject.
MOST_RECORD = MEGABYTE


def built_row(key: str, artifact: Artifact, trust: Trust) -> dict[str, Any]:
    """Return an artifact of this machine as a program needs it."""
    made, verdict = artifact.manifest, check_file(artifact, trust)
    return {
        "key": key,
        "version": made.version,
        "commit": made.commit,
        "dirty": made.dirty,
        "sha256": made.sha256,
        "size": made.size,
        "cpu": made.toolchain.cpu,
        "libc": made.toolchain.libc,
        "tarball": str(artifact.tarball),
        "manifest": str(artifact.tarball.with_name(f"{key}.json")),
        "signature": str(artifact.signature_file) if artifact.signature_file.exists() else "",
        "signed": signed(verdict),
    }


def artifact_rows(
    here: DirectoryStore, shared: SharedStore | None, inventory: Inventory, emit: Emit
) -> list[dict[str, Any]]:
    """Return a row for each artifact that this machine or the shared store has, newest first.

    A shared store that cannot be used is left out, with a warning.
    """
    kept, files = here.kept(), {}
    if shared is not None:
        try:
            files = shared.files()
        except Unavailable as away:
            emit(Warn("", f"{away.message} ({away.hint}): only what this machine has is listed"))
            shared = None
    there = manifests_in(files)
    live = live_digests(here, shared, files)
    trust = trust_of(inventory)
    rows = []
    for key, when in sorted((there | kept).items(), key=lambda each: (-each[1], each[0])):
        found = here.find(key)
        manifest: Manifest | None = found.manifest if found else None
        verdict = check_file(found, trust) if found else Verdict()
        problem = "" if found or key not in kept else "its manifest or its size is wrong on this machine"
        if manifest is None and shared is not None and key in there:
            try:
                text = read_text(shared, f"{key}.json", MOST_MANIFEST)
                manifest = read_manifest(text, inventory, f"{key}.json in the store {shared.label}")
                if signature_name(key, manifest.sha256) in files:
                    signature = pull_signature(key, manifest, shared, silent)
                    # The check needs no tarball.
                    verdict = check(signature, Artifact(Path(f"{key}.tar.gz"), manifest), trust)
            except (Absent, Refused) as wrong:
                problem = wrong.message
        row = {"key": key, "time": moment(when), **described(manifest), "signed": signed(verdict)}
        row["here"] = found is not None
        if shared is not None:
            row["store"] = key in there
        row["live"] = live.get(manifest.sha256, []) if manifest else []
        rows.append({**row, "problem": problem} if problem else row)
    return rows


def signed(verdict: Verdict) -> str:
    """Return the column about a signature: the signer or, where that is not known, the key; empty where unsigned."""
    return verdict.signer or verdict.fingerprint


def described(manifest: Manifest | None) -> dict[str, Any]:
    """Return the columns of a manifest; empty where it cannot be read."""
    if manifest is None:
        return {"version": "", "commit": "", "subject": "", "kind": "", "size": 0}
    commit = f"{manifest.commit[:8]}{', dirty' if manifest.dirty else ''}"
    return {
        "version": manifest.version,
        "commit": commit,
        "subject": manifest.subject[:60],
        "kind": f"{manifest.toolchain.cpu}, {manifest.toolchain.libc}",
        "size": manifest.size,
    }


def manifests_in(files: Mapping[str, StoredFile]) -> dict[str, int]:
    """Return the keys that have a manifest among the files of a shared store, each with the time of the manifest."""
    found = ((NAME.fullmatch(name), file) for name, file in files.items())
    return {match["key"]: file.changed for match, file in found if match and match["manifest"]}


def live_digests(
    here: DirectoryStore, shared: SharedStore | None, files: Mapping[str, StoredFile]
) -> dict[str, list[str]]:
    """Return the environments in which an artifact is live as recorded here or in the shared store, by its digest."""
    records = list(here.all_live().items())
    for name in files:
        match = NAME.fullmatch(name)
        if shared is None or match is None or match["environment"] is None:
            continue
        try:
            text = read_text(shared, name, MOST_RECORD)
            records.append((match["environment"], msgspec.json.decode(text, type=PutLive)))
        except (Absent, msgspec.DecodeError, RecursionError):
            continue
    found: dict[str, list[str]] = {}
    for environment, live in records:
        for sha256 in live.digests:
            names = found.setdefault(sha256, [])
            if environment not in names:
                names.append(environment)
    return found


def moment(seconds: int) -> str:
    """Return a time as messages and JSON write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
