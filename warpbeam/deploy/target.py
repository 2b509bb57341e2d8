"""The target of a deploy: the artifact that is to go live, and where it comes from: a source, the store, or hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.build import build, build_host, build_recipe, emit_kept, find_stored
from warpbeam.build.recipe import ask_recipe
from warpbeam.build.signing import sign_kept
from warpbeam.build.source import Source, changed_files, find_source
from warpbeam.deploy.chosen import chosen_artifact
from warpbeam.deploy.lock import check_reachable, look
from warpbeam.deploy.plan import Plan
from warpbeam.error import Failed, Problem, Refused, restated
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import Release
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared import Absent, SharedStore, Unavailable, key_with
from warpbeam.store.store import PutLive, Store
from warpbeam.store.transfer import pull, push_live


class TargetRequest(msgspec.Struct, frozen=True):
    """The artifact that a user asks for: that of the source at `ref` or, with `live`, the one that the hosts run.

    `project` is the directory of fabfile.py. `dirty`: the working tree as it stands. `anew`: build it although it is
    kept. `noted`: note on this machine that it is live in the environment. `artifact` is the key or the file of one
    that exists, or empty; `shared` is the shared store, or None.
    """

    project: Path
    ref: str = "HEAD"
    live: bool = False
    dirty: bool = False
    anew: bool = False
    noted: bool = True
    artifact: str = ""
    shared: SharedStore | None = None


class Target(msgspec.Struct, frozen=True):
    """An artifact to put live; `name` is its release's name on other hosts that run it, or empty.

    `store` is the store that notes what this machine has put live, or None.
    """

    artifact: Artifact
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
        Refused: the hosts of `selection` are not ready for a rollout, before a build; as `build` and `live_target`.
        Failed: the build failed.
    """
    if asked.live:
        return live_target(fleet, asked.project, emit, asked.shared)
    store = store_of(fleet, asked.project)
    noting = store if asked.noted else None
    if asked.artifact:
        chosen = chosen_artifact(asked.artifact, fleet.inventory, store, asked.shared, emit)
        sign_kept(chosen, fleet.inventory, store, emit)
        return Target(chosen, store=noting)
    source = source_of(fleet, asked.project, asked.ref, dirty=asked.dirty)
    recipe = ask_recipe(fleet.shell(build_host(fleet.inventory)), fleet.inventory, source, emit)
    artifact = None if asked.anew else find_stored(recipe, store, asked.shared, emit)
    if artifact is not None:
        emit_kept(artifact, emit)
        sign_kept(artifact, fleet.inventory, store, emit)
    else:
        # A build takes minutes, which would be in vain if a host is not ready.
        check_reachable(fleet, selection)
        _, artifact = build_recipe(fleet, recipe, store, emit, anew=asked.anew)
    return Target(artifact, store=noting)


def live_target(fleet: Fleet, project: Path, emit: Emit, shared: SharedStore | None = None) -> Target:
    """Return the artifact that the environment's hosts run, for a host that joins them (`deploy --release live`).

    A host's answer alone decides nothing: the release that the others report must be what this machine put live last.

    Raises:
        Refused: the hosts run different releases, or none, or another than this machine put live last.
    """
    chosen = set(fleet.inventory.hosts)
    facts = look(fleet, fleet.inventory.all_app_hosts, emit)
    live: dict[str, Release] = {}
    for name, found in facts.items():
        if isinstance(found, Problem):
            if name in chosen:
                raise found
            continue
        if found.live_release is not None:
            live[name] = found.live_release
    others = {name: release for name, release in live.items() if name not in chosen} or live
    store = store_of(fleet, project)
    ours = _agreed_live(others, store.last_live(fleet.inventory.name))
    artifact = _kept_artifact(store, ours.sha256) or _shared_artifact(fleet, store, shared, ours.sha256, emit)
    if artifact is None:
        label = next(iter(others.values())).label
        if ours.dirty:
            raise Refused(f"{label} was built from a dirty tree and is not kept on this machine", "deploy a commit")
        emit(Note("", f"{label} is not kept on this machine: building its commit again"))
        _, artifact = build(fleet, source_of(fleet, project, ours.commit), store, emit)
    sign_kept(artifact, fleet.inventory, store, emit)
    # One source tree can belong to several commits: name the commit that the hosts run.
    manifest = msgspec.structs.replace(artifact.manifest, commit=ours.commit, subject=ours.subject, dirty=ours.dirty)
    name = ours.release if any(release.name == ours.release for release in others.values()) else ""
    return Target(Artifact(artifact.tarball, manifest), name, store)


def _agreed_live(others: Mapping[str, Release], ours: PutLive | None) -> PutLive:
    """Return what this machine put live last, when the hosts report that they run it. Raises: Refused, where not."""
    digests = {release.artifact.sha256 for release in others.values()}
    if not digests:
        raise Refused("no host runs anything yet", "deploy without --release")
    summary = ", ".join(f"{name} {release.name} {release.label}" for name, release in others.items())
    if len(digests) > 1:
        raise Refused(f"hosts run different releases: {summary}", "deploy a commit with --ref")
    if ours is None or digests != {ours.sha256}:
        was = f"it put {ours.release} ({ours.commit[:8]}) live last" if ours else "it put none live, as far as it knows"
        (release, *_) = others.values()
        raise Refused(
            f"what the hosts say they run ({summary}) is not known on this machine: {was}",
            f"what to run is your word, not a host's: look at that commit, then `fab ENV deploy --ref "
            f"{release.artifact.commit or 'COMMIT'}`, with the same -H",
        )
    return ours


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


def rolled_back(plan: Plan) -> PutLive | None:
    """Return what the hosts of a rollback say they have gone back to; None where they say different things.

    A host's word: it is enough to keep an artifact from being pruned, and decides nothing else.
    """
    found = {
        PutLive(step.about.sha256, step.about.commit, step.about.subject, step.about.dirty, step.release)
        for step in plan.hosts
    }
    return found.pop() if len(found) == 1 else None


def share_live(live: PutLive | None, shared: SharedStore, environment: str, emit: Emit) -> None:
    """Record in the shared store what is live in `environment`, or warn that this was not possible."""
    if live is None:
        return
    try:
        push_live(live, shared, environment)
    except (Problem, OSError) as problem:
        what = f"the store {shared.label} does not know what is live in {environment} now"
        emit(Warn("", f"{what}, so `artifacts.prune --store` may remove it there: {problem}"))


def note_live(store: Store, environment: str, live: PutLive) -> None:
    """Note in `store` what was put live in `environment`."""
    before = store.last_live(environment)
    if before is not None and (before.sha256, before.release) == (live.sha256, live.release):
        # Also when another commit has the same source: hosts keep the commit that it was first deployed as.
        return
    try:
        store.note_live(environment, live)
    except Failed as failed:
        raise restated(failed, Failed, "; the release is live, and this machine has not noted that") from None
