"""Whether artifacts are still what their manifests say, here or in the shared store: all of their bytes are read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from warpbeam.build.artifact import Artifact
from warpbeam.build.signature import Trust, Unsound, Verdict, check, check_file
from warpbeam.build.tarball import difference
from warpbeam.error import Failed, Refused
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.listing import described, manifests_in, signed
from warpbeam.store.manifest import decode_manifest
from warpbeam.store.shared import MOST_MANIFEST, SharedStore, Unavailable, read_text, tarball_name
from warpbeam.store.signatures import signature_in

# The states of an artifact. An untrusted one is what its manifest says, without a signature that counts.
INTACT, CHANGED, UNTRUSTED = "intact", "changed", "untrusted"


def verify_here(here: DirectoryStore, trust: Trust) -> list[dict[str, Any]]:
    """Return a row for each artifact of this machine; `problem` says how one is not what its manifest says.

    With the allowed signers of `trust`, an artifact that none of them signed has a problem too.
    """
    rows = []
    for key in sorted(here.kept()):
        found = here.find(key)
        wrong = _wrong(found) if found else "its manifest cannot be read, or its tarball has another size or is missing"
        rows.append(_row(key, found, wrong, check_file(found, trust) if found else Verdict()))
    return rows


def _wrong(artifact: Artifact) -> str:
    if not artifact.is_unchanged():
        return "its checksum is not that of the manifest: it was changed"
    return difference(artifact.tarball, artifact.manifest.files)


def verify_shared(shared: SharedStore, trust: Trust) -> list[dict[str, Any]]:
    """Return the same rows for the artifacts of the shared store, of all releases; they are read and not kept.

    Raises: Unavailable, where the shared store cannot be reached.
    """
    rows = []
    for key in sorted(manifests_in(shared.files())):
        try:
            rows.append(_verified(key, shared, trust))
        except Unavailable:
            raise
        except (Refused, Failed) as wrong:
            rows.append(_row(key, None, wrong.message, Verdict()))
    return rows


def _verified(key: str, shared: SharedStore, trust: Trust) -> dict[str, Any]:
    text = read_text(shared, f"{key}.json", MOST_MANIFEST)
    manifest = decode_manifest(text, f"{key}.json in the store {shared.label}")
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:

        def sink(piece: bytes) -> None:
            file.write(piece)

        shared.read(tarball_name(key, manifest.sha256), manifest.size, sink)
        file.flush()
        artifact = Artifact(Path(file.name), manifest)
        wrong = _wrong(artifact)
    try:
        verdict = check(signature_in(shared, key, manifest.sha256), artifact, trust)
    except Unavailable:
        raise
    except Unsound as unsound:
        verdict = Verdict(problem=f"its signature {unsound}")
    except (Refused, Failed) as wrong_text:
        verdict = Verdict(problem=wrong_text.message)
    return _row(key, artifact, wrong, verdict)


def _row(key: str, artifact: Artifact | None, wrong: str, verdict: Verdict) -> dict[str, Any]:
    manifest = artifact.manifest if artifact else None
    state = CHANGED if wrong else UNTRUSTED if verdict.problem else INTACT
    row = {"key": key, **described(manifest), "signed": signed(verdict), "state": state}
    problem = wrong or verdict.problem
    return {**row, "problem": problem} if problem else row
