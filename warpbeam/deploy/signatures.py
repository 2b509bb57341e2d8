"""The signatures of releases: the artifact's, checked before a host is touched, and those beside releases on hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.signature import Signature, Trust, Unsound, Verdict, check, check_file, read_signature, trust_of
from warpbeam.build.source import Source
from warpbeam.deploy.lock import PARTS, Lease, LockedPhase, locked_parameters
from warpbeam.deploy.named_artifact import signature_beside
from warpbeam.error import Problem, Refused, untouched
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Count
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Inventory
from warpbeam.store.directory import KEY, DirectoryStore
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
    """Return the text of each artifact's signature, by the digest of its tarball; empty where it has none.

    Where this machine's does not count, the shared store may have a newer one, which is kept.

    Raises: Refused, where the inventory names allowed signers and none of them signed an artifact. Misuse: as `check`.
    """
    trust = trust_of(inventory)
    if trust.allowed is not None:
        verdicts = {it.key: _verdict_on(it, trust, store, shared, emit) for it in artifacts}
        if any(verdict.problem for verdict in verdicts.values()):
            raise _unsigned(artifacts, verdicts, inventory)
        for verdict in dict.fromkeys(verdicts.values()):
            emit(Note("", f"signed by {verdict}"))
    return {it.manifest.sha256: _text(it, emit) for it in artifacts}


def _verdict_on(
    artifact: Artifact, trust: Trust, store: DirectoryStore, shared: SharedStore | None, emit: Emit
) -> Verdict:
    """Return who signed an artifact of this machine; where that does not count, the shared store may have more."""
    verdict = check_file(artifact, trust)
    if not verdict.problem or shared is None:
        return verdict
    newer, signature = _verdict_in(shared, artifact.key, artifact, trust, emit)
    if signature is None or newer.problem:
        return verdict
    store.keep_signature(artifact.key, signature.text)
    return newer


def _unsigned(artifacts: Sequence[Artifact], verdicts: Mapping[str, Verdict], inventory: Inventory) -> Refused:
    """Return the refusal of artifacts, some of which no allowed signer has signed."""
    wrong = {key: verdict.problem for key, verdict in verdicts.items() if verdict.problem}
    label = artifacts[0].label
    what = "; ".join(f"the artifact {key}: {problem}" for key, problem in wrong.items())
    again = ",".join(verdicts)
    return Refused(
        f"{inventory.app} {label} may not go live: {what}",
        f"`fab ENV artifacts.sign {','.join(wrong)}` signs it (anew), with a key that "
        f"{inventory.deploy.allowed_signers} allows: --key, or build.sign; then `fab ENV deploy --artifact {again}`",
        nothing_changed=True,
    )


def signers_of(source: Source, inventory: Inventory, store: DirectoryStore) -> str:
    """Return who signed the artifacts of `source` that this machine has, or why one does not count.

    Of each kind of host, the newest is looked at. Empty where everything counts.
    """
    trust = trust_of(inventory)
    if trust.allowed is None:
        return ""
    wanted = (source.tree, source.dirty, inventory.release_name)
    newest_first = sorted(store.kept().items(), key=lambda each: -each[1])
    found = (artifact for key, _ in newest_first if (artifact := store.find(key)))
    made: dict[tuple[str, str], Artifact] = {}
    for it in found:
        if (it.manifest.tree, it.manifest.dirty, it.manifest.release) == wanted:
            made.setdefault((it.manifest.toolchain.cpu, it.manifest.toolchain.libc), it)
    if not made:
        return "nobody yet: this machine has no artifact of this source"
    return _said_of({it.key: check_file(it, trust) for it in made.values()})


def signers_of_named(
    named: Mapping[str, Manifest], inventory: Inventory, store: DirectoryStore, shared: SharedStore | None, emit: Emit
) -> str:
    """Return who signed the artifacts that a person names, here or in the shared store; the rest as `signers_of`."""
    trust = trust_of(inventory)
    if trust.allowed is None:
        return ""
    verdicts = {}
    for name, manifest in named.items():
        # The tarball of an artifact names its signature; that of a key that only the shared store has is not read.
        file = store.signature_file(name) if KEY.fullmatch(name) else signature_beside(Path(name).expanduser())
        artifact = Artifact(file.with_suffix(".tar.gz"), manifest)
        verdict = check_file(artifact, trust)
        if verdict.problem and shared is not None and KEY.fullmatch(name):
            newer, signature = _verdict_in(shared, name, artifact, trust, emit)
            verdict = verdict if signature is None else newer
        verdicts[name] = verdict
    return _said_of(verdicts)


def _said_of(verdicts: Mapping[str, Verdict]) -> str:
    """Return in words who signed these artifacts, or the first that counts as unsigned."""
    for key, verdict in verdicts.items():
        if verdict.problem:
            return f"nobody: {verdict.problem} ({key})"
    return ", ".join(dict.fromkeys(str(verdict) for verdict in verdicts.values()))


def _text(artifact: Artifact, emit: Emit) -> str:
    try:
        signature = read_signature(artifact.signature_file)
    except Unsound as unsound:
        emit(Warn("", f"{artifact.signature_file} {unsound}; the release goes without it"))
        return ""
    return signature.text.decode("ascii") if signature else ""


def _verdict_in(
    shared: SharedStore, key: str, artifact: Artifact, trust: Trust, emit: Emit
) -> tuple[Verdict, Signature | None]:
    """Return the verdict about the signature that the shared store has, and it; a store out of reach has none."""
    try:
        signature = pull_signature(key, artifact.manifest, shared, emit)
    except Unavailable as away:
        emit(Warn("", f"{away.message}: going on without it"))
        signature = None
    return check(signature, artifact, trust), signature


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
