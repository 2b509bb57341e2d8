"""The target of a deploy: the artifacts that are to go live, and where they come from: a source, a store, or hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.build import find_or_build
from warpbeam.build.signing import sign_kept
from warpbeam.build.source import Source, changed_files, find_source
from warpbeam.deploy.builds import choose_builds
from warpbeam.deploy.fitting import Artifacts, assigned, fit, offers_of, to_all
from warpbeam.deploy.lock import look, ready_facts
from warpbeam.deploy.named_artifact import chosen_artifacts
from warpbeam.error import Problem, Refused
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import HostFacts, Release
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared import Absent, SharedStore, Unavailable, key_with
from warpbeam.store.store import PutLive, Store
from warpbeam.store.transfer import pull


class TargetRequest(msgspec.Struct, frozen=True):
    """The artifacts that a user asks for: those of the source at `ref` or, with `live`, what the hosts run.

    `project` is the directory of fabfile.py. `dirty`: the working tree as it stands. `anew`: build although they are
    kept. `noted`: note on this machine that they are live in the environment. `named` are the keys or the files of
    artifacts that exist, or none; `shared` is the shared store, or None.
    """

    project: Path
    ref: str = "HEAD"
    live: bool = False
    dirty: bool = False
    anew: bool = False
    noted: bool = True
    named: tuple[str, ...] = ()
    shared: SharedStore | None = None


class Target(msgspec.Struct, frozen=True):
    """The artifacts to put live; `name` is the name of their release on other hosts that run it, or empty.

    `store` is the store that notes what this machine has put live, or None.
    """

    artifacts: Artifacts
    name: str = ""
    store: DirectoryStore | None = None


def store_of(fleet: Fleet, project: Path) -> DirectoryStore:
    """Return the store that keeps the artifacts of the fleet's app on this machine."""
    inventory = fleet.inventory
    return DirectoryStore(project / ".warpbeam" / "artifacts" / f"{inventory.org}-{inventory.app}")


def source_of(fleet: Fleet, project: Path, ref: str, *, dirty: bool = False) -> Source:
    """Return the app's source at `ref`: from where the inventory says, else the repository around fabfile.py."""
    inventory = fleet.inventory
    return find_source(inventory.source or project, ref, include=inventory.build.include, allow_dirty=dirty)


def source_to_plan(fleet: Fleet, project: Path, ref: str, emit: Emit, *, dirty: bool = False) -> Source:
    """Return the source as `source_of`, for looking only: leave a dirty working tree out, with a warning."""
    directory = fleet.inventory.source or project
    include = fleet.inventory.build.include
    source = find_source(directory, ref, include=include, allow_dirty=dirty, leave_dirty=True)
    if ref == "HEAD" and not dirty and (changed := changed_files(directory, source.layout, source.top)):
        count = f"{len(changed)} file{'s' if len(changed) != 1 else ''}"
        what = f"the working tree of {directory} differs from HEAD in {count}, left out here"
        emit(Warn("", f"{what}; a deploy will want them committed, or --dirty"))
    return source


def source_of_artifact(fleet: Fleet, project: Path, made: Manifest) -> Source | None:
    """Return the source of an artifact on this machine; None where no repository here has its commit."""
    try:
        return source_of(fleet, project, made.commit)
    except Problem:
        return None


def find_target(fleet: Fleet, asked: TargetRequest, selection: HostSelection, emit: Emit) -> Target:
    """Return the target that the user asked for: what hosts run, what a store has, or else what is built now.

    Raises:
        Misuse: there is no such source, or no host has the role build.
        Refused: the hosts of `selection` are not ready for a rollout, before a build; as `choose_builds`,
            `find_or_build`, `chosen_artifacts` and `live_target`.
        Failed: the build failed.
    """
    if asked.live:
        return live_target(fleet, asked, selection, emit)
    store = store_of(fleet, asked.project)
    noting = store if asked.noted else None
    if asked.named:
        chosen = chosen_artifacts(asked.named, fleet, selection, store, asked.shared, emit)
        _sign_each(chosen, fleet, store, emit)
        return Target(chosen, store=noting)
    source = source_of(fleet, asked.project, asked.ref, dirty=asked.dirty)
    return Target(built_artifacts(fleet, source, asked, selection, store, emit), store=noting)


def built_artifacts(
    fleet: Fleet, source: Source, asked: TargetRequest, selection: HostSelection, store: DirectoryStore, emit: Emit
) -> Artifacts:
    """Return the artifact of `source` for each host, of a store or built now. Raises: as `find_target`."""
    builds = choose_builds(fleet, selection, source, emit)
    made = find_or_build(
        fleet,
        builds.recipes,
        store,
        emit,
        anew=asked.anew,
        shared=asked.shared,
        # A build takes minutes, which would be in vain if a host is not ready.
        check=lambda: ready_facts(fleet, selection),
    )
    return builds.artifacts(made)


def _sign_each(artifacts: Artifacts, fleet: Fleet, store: DirectoryStore, emit: Emit) -> None:
    """Sign those of the artifacts, kept on this machine, that have no signature yet."""
    for artifact in artifacts.each:
        sign_kept(artifact, fleet.inventory, store, emit)


def live_target(fleet: Fleet, asked: TargetRequest, selection: HostSelection, emit: Emit) -> Target:
    """Return what the environment's hosts run, for a host that joins them (`deploy --release live`).

    A host's answer alone decides nothing: the release that the others report must be what this machine put live last.

    Raises:
        Refused: the hosts run different releases, or none, or another than this machine put live last.
    """
    chosen = {host.name for host in selection.hosts(fleet.inventory)}
    facts = look(fleet, fleet.inventory.all_app_hosts, emit)
    live: dict[str, Release] = {}
    joining: dict[str, HostFacts] = {}
    for name, found in facts.items():
        if isinstance(found, Problem):
            if name in chosen:
                raise found
            continue
        if name in chosen:
            joining[name] = found
        if found.live_release is not None:
            live[name] = found.live_release
    others = {name: release for name, release in live.items() if name not in chosen} or live
    store = store_of(fleet, asked.project)
    ours = _agreed_live(others, store.last_live(fleet.inventory.name))
    artifacts = _still_kept(fleet, store, asked.shared, ours, joining, emit)
    if artifacts is None:
        label = next(iter(others.values())).label
        if ours.dirty:
            raise Refused(f"{label} was built from a dirty tree and is not kept on this machine", "deploy a commit")
        kind = " for these hosts" if len(fleet.inventory.build_hosts) > 1 else ""
        emit(Note("", f"{label} is not kept on this machine{kind}: building its commit again"))
        source = source_of(fleet, asked.project, ours.commit)
        artifacts = built_artifacts(fleet, source, asked, selection, store, emit)
    _sign_each(artifacts, fleet, store, emit)
    name = ours.release if any(release.name == ours.release for release in others.values()) else ""
    return Target(artifacts.as_of(ours.commit, ours.subject, dirty=ours.dirty), name, store)


def _still_kept(
    fleet: Fleet,
    store: DirectoryStore,
    shared: SharedStore | None,
    ours: PutLive,
    joining: Mapping[str, HostFacts],
    emit: Emit,
) -> Artifacts | None:
    """Return which of the artifacts that are live each joining host gets, from a store; None where a host gets none."""
    found = [
        _kept_artifact(store, sha256) or _shared_artifact(fleet, store, shared, sha256, emit) for sha256 in ours.digests
    ]
    kept = {artifact.manifest.sha256[:16]: artifact for artifact in found if artifact is not None}
    if len(kept) == 1 and (len(fleet.inventory.build_hosts) < 2 or ours.dirty):
        return to_all(next(iter(kept.values())), joining)
    offers = offers_of({name: it.manifest for name, it in kept.items()})
    if not all(any(offer.runs_on(have) for offer in offers) for have in joining.values()):
        return None
    return assigned(fit(offers, joining, what="artifact"), kept, joining)


def _agreed_live(others: Mapping[str, Release], ours: PutLive | None) -> PutLive:
    """Return what this machine put live last, when the hosts report that they run it. Raises: Refused, where not."""
    digests = {release.artifact.sha256 for release in others.values()}
    if ours is not None and digests and digests <= set(ours.digests):
        return ours
    if not digests:
        raise Refused("no host runs anything yet", "deploy without --release")
    summary = ", ".join(f"{name} {release.name} {release.label}" for name, release in others.items())
    if len(digests) > 1:
        raise Refused(f"hosts run different releases: {summary}", "deploy a commit with --ref")
    was = f"it put {ours.release} ({ours.commit[:8]}) live last" if ours else "it put none live, as far as it knows"
    (release, *_) = others.values()
    raise Refused(
        f"what the hosts say they run ({summary}) is not known on this machine: {was}",
        f"what to run is your word, not a host's: look at that commit, then `fab ENV deploy --ref "
        f"{release.artifact.commit or 'COMMIT'}`, with the same -H",
    )


def _kept_artifact(store: Store, sha256: str) -> Artifact | None:
    """Return the store's artifact with that digest; None where there is none, or it was changed."""
    artifact = store.with_sha256(sha256)
    return artifact if artifact is not None and artifact.is_unchanged() else None


def _shared_artifact(
    fleet: Fleet, store: DirectoryStore, shared: SharedStore | None, sha256: str, emit: Emit
) -> Artifact | None:
    """Return the shared store's artifact with that digest, pulled; None where there is none."""
    if shared is None:
        return None
    try:
        key = key_with(shared, sha256)
        artifact = pull(key, store, shared, fleet.inventory, emit) if key else None
    except (Absent, Unavailable):
        return None
    return artifact if artifact is not None and artifact.manifest.sha256 == sha256 else None
