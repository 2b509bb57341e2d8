"""The signatures of releases: the artifact's, checked before a host is touched, and those beside releases on hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.signature import Trust, Unsound, Verdict, check, check_file, read_signature, trust_of
from warpbeam.build.source import Source
from warpbeam.deploy.lock import PARTS, Lease, LockedPhase, locked_parameters
from warpbeam.error import Problem, Refused, untouched
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Count
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared import SharedStore, Unavailable
from warpbeam.store.signatures import pull_signature


class Placed(msgspec.Struct, frozen=True):
    """The answer of warpbeam/deploy/signatures.sh: how many signatures a host did not have."""

    written: Count


class PlaceSignatures(LockedPhase[Placed], frozen=True, kw_only=True):
    """Write signatures beside releases; the head of `warpbeam/deploy/signatures.sh` explains its fields."""

    script: ClassVar[str] = "deploy/signatures"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Placed
    signatures: tuple[str, ...]


def check_signatures(
    artifacts: Sequence[Artifact],
    inventory: Inventory,
    store: DirectoryStore,
    shared: SharedStore | None,
    emit: Emit,
) -> dict[str, str]:
    """Return the text of each artifact's signature, by the digest of its tarball. Raises: as `check_signature`."""
    return {it.manifest.sha256: check_signature(it, inventory, store, shared, emit) for it in artifacts}


def check_signature(
    artifact: Artifact, inventory: Inventory, store: DirectoryStore, shared: SharedStore | None, emit: Emit
) -> str:
    """Return the text of the artifact's signature; without allowed signers it may be any, or none (empty).

    Where this machine's does not count, the shared store may have a newer one, which is kept.

    Raises: Refused, where the inventory names allowed signers and none of them signed it. Misuse: as `check`.
    """
    trust = trust_of(inventory)
    if trust.allowed is None:
        return _text(artifact, emit)
    verdict = check_file(artifact, trust)
    if verdict.problem and shared is not None:
        verdict = _look_in(shared, artifact, trust, store, emit) or verdict
    if verdict.problem:
        raise Refused(
            f"{inventory.app} {artifact.label}, the artifact {artifact.key}, may not go live: {verdict.problem}",
            f"`fab ENV artifacts.sign {artifact.key}`, with a key that {trust.allowed} allows, signs it (anew); then "
            f"`fab ENV deploy --artifact {artifact.key}`",
            nothing_changed=True,
        )
    emit(Note("", f"signed by {verdict}"))
    return _text(artifact, emit)


def signer_of(source: Source, inventory: Inventory, store: DirectoryStore) -> str:
    """Return who signed the artifact of `source` that this machine has, or why none counts; empty where all count."""
    trust = trust_of(inventory)
    if trust.allowed is None:
        return ""
    wanted = (source.tree, source.dirty, inventory.release_name)
    newest_first = sorted(store.kept().items(), key=lambda each: -each[1])
    found = (artifact for key, _ in newest_first if (artifact := store.find(key)))
    made = next((it for it in found if (it.manifest.tree, it.manifest.dirty, it.manifest.release) == wanted), None)
    if made is None:
        return "nobody yet: this machine has no artifact of this source"
    verdict = check_file(made, trust)
    return f"nobody: {verdict.problem} ({made.key})" if verdict.problem else str(verdict)


def _text(artifact: Artifact, emit: Emit) -> str:
    try:
        signature = read_signature(artifact.signature_file)
    except Unsound as unsound:
        emit(Warn("", f"{artifact.signature_file} {unsound}; the release goes without it"))
        return ""
    return signature.text.decode("ascii") if signature else ""


def _look_in(
    shared: SharedStore, artifact: Artifact, trust: Trust, store: DirectoryStore, emit: Emit
) -> Verdict | None:
    """Return the verdict about the signature that the shared store has, where that one counts, and keep it."""
    try:
        signature = pull_signature(artifact.key, artifact.manifest, shared, emit)
    except Unavailable as away:
        emit(Warn("", f"{away.message}: going on without it"))
        return None
    if signature is None:
        return None
    verdict = check(signature, artifact, trust)
    if verdict.problem:
        return None
    store.keep_signature(artifact.key, signature.text)
    return verdict


def place_signatures(fleet: Fleet, lease: Lease, store: DirectoryStore | None, emit: Emit) -> None:
    """Write, on each host of `lease`, the signatures of those of its releases that this machine has as artifacts.

    So a signature that replaces a revoked one reaches hosts that have the release already. Without allowed signers,
    and for releases whose signature here does not count, nothing is done.

    Raises: Refused, where a host could not write them; nothing else was changed.
    """
    trust = trust_of(fleet.inventory)
    if trust.allowed is None or store is None:
        return
    texts = _counting(store, trust, lease.facts, emit)
    phases = {
        name: PlaceSignatures(**locked_parameters(fleet.inventory, lease.token), signatures=given)
        for name, facts in lease.facts.items()
        if (given := _of_releases(facts, texts))
    }
    hosts = [host for host in fleet.inventory.app_hosts if host.name in phases]
    results = fleet.everywhere(hosts, lambda host: fleet.run(host, phases[host.name], emit))
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if problems:
        raise untouched(problems)
    for name, placed in results.items():
        if isinstance(placed, Placed) and placed.written:
            count = f"{placed.written} signature{'s' if placed.written > 1 else ''}"
            emit(Note(name, f"{count} written beside releases that it had already"))


def _counting(store: DirectoryStore, trust: Trust, facts: Mapping[str, HostFacts], emit: Emit) -> dict[str, str]:
    """Return the texts of signatures that count, by the digest of the tarball, of releases that some host has."""
    wanted = {release.artifact.sha256 for have in facts.values() for release in have.releases}
    found: dict[str, str] = {}
    for key in store.kept():
        artifact = store.find(key)
        if artifact is None or artifact.manifest.sha256 not in wanted:
            continue
        verdict = check_file(artifact, trust)
        if verdict.signer and (text := _text(artifact, emit)):
            found[artifact.manifest.sha256] = text
    return found


def _of_releases(facts: HostFacts, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Return for each release of a host that has a signature here its name, then that signature."""
    having = (release for release in facts.releases if release.artifact.sha256 in texts)
    return tuple(text for release in having for text in (release.name, texts[release.artifact.sha256]))
