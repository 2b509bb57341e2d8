"""The operations from a source to a live release, and back: each takes the lock, gathers facts, plans, performs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.build import build
from warpbeam.build.source import Source, find_source
from warpbeam.build.working_tree import dirty_files
from warpbeam.deploy.batch import check_batch
from warpbeam.deploy.lock import check_free, check_reachable, holding, look
from warpbeam.deploy.plan import Plan, emit_plan, plan_deploy, plan_restart, plan_rollback
from warpbeam.deploy.preview import preview_rows
from warpbeam.deploy.rollout import Policy, roll_out
from warpbeam.deploy.upload import Uploader, digests, manifest
from warpbeam.error import Failed, Misuse, Problem, Refused
from warpbeam.event import Emit, Note, Settled, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.hooks import around
from warpbeam.fleet.selection import HostSelection, connecting
from warpbeam.host.facts import Release
from warpbeam.provision import secret_file
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.store import PutLive, Store


class Target(msgspec.Struct, frozen=True):
    """An artifact to put live; `name` is its release's name on other hosts that run it, or empty.

    `store` is the store that notes what this machine has put live.
    """

    artifact: Artifact
    name: str = ""
    store: Store | None = None


def store_of(fleet: Fleet, project: Path) -> Store:
    """Return the store that keeps the artifacts of the fleet's app on this machine."""
    inventory = fleet.inventory
    return DirectoryStore(project / ".warpbeam" / "artifacts" / f"{inventory.org}-{inventory.app}")


def source_of(fleet: Fleet, project: Path, ref: str, *, dirty: bool = False) -> Source:
    """Return the app's source at `ref`: from where the inventory says, else the repository around fabfile.py."""
    return find_source(fleet.inventory.source or project, ref, allow_dirty=dirty)


def source_to_plan(fleet: Fleet, project: Path, ref: str, emit: Emit, *, dirty: bool = False) -> Source:
    """Return the source as `source_of`, for looking only: leave a dirty working tree out, with a warning."""
    directory = fleet.inventory.source or project
    source = find_source(directory, ref, allow_dirty=dirty, leave_dirty=True)
    if ref == "HEAD" and not dirty and (changed := dirty_files(directory)):
        count = f"{len(changed)} file{'s' if len(changed) != 1 else ''}"
        what = f"the working tree of {directory} differs from HEAD in {count}, left out here"
        emit(Warn("", f"{what}; a deploy will want them committed, or --dirty"))
    return source


def build_on_host(
    fleet: Fleet,
    project: Path,
    source: Source,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    before: Callable[[], None] | None = None,
) -> Artifact:
    """Return the artifact of `source`: the one that is kept, or one built on the environment's build host.

    Parameters:
        anew: build it although it is kept.
        before: called before a build only; an exception that it raises prevents the build.

    Raises:
        Misuse: no host has the role build.
        Refused, Failed: as `build.build`.
    """
    host = fleet.inventory.build_host
    if host is None:
        raise Misuse(
            f"{fleet.inventory.file}: no host has the role build",
            "give one `roles: [build]`, and leave it in when you narrow with -H",
        )
    return build(
        fleet.shell(host),
        fleet.inventory,
        source,
        store_of(fleet, project),
        emit,
        with_tests=with_tests,
        anew=anew,
        before=before,
        rsync=lambda directory, target, leave_out: fleet.rsync(host, directory, target, leave_out, emit),
        hooked=lambda about: around(fleet, "build", [host], emit, {host.name: about}),
    )


def kept_artifact(fleet: Fleet, project: Path, sha256: str) -> Artifact | None:
    """Return the store's artifact with that digest; None where there is none, or it was changed."""
    artifact = store_of(fleet, project).with_sha256(sha256)
    return artifact if artifact is not None and artifact.is_unchanged() else None


def live_artifact(fleet: Fleet, project: Path, emit: Emit) -> Target:
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
    artifact = kept_artifact(fleet, project, ours.sha256)
    if artifact is None:
        label = next(iter(others.values())).label
        if ours.dirty:
            raise Refused(f"{label} was built from a dirty tree and is not kept on this machine", "deploy a commit")
        emit(Note("", f"{label} is not kept on this machine: building its commit again"))
        artifact = build_on_host(fleet, project, source_of(fleet, project, ours.commit), emit)
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


def policy_of(fleet: Fleet, *, batch: str = "", pause: str = "", on_failure: str = "") -> Policy:
    """Return the policy that the command line asks for, else the inventory. Raises: Misuse, where a word is wrong."""
    plan = fleet.inventory.deploy
    if pause and not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", pause):
        raise Misuse(f"--pause: {pause!r} is no number of seconds")
    if on_failure not in ("", "stop", "rollback"):
        raise Misuse(f"--on-failure: expected stop or rollback, found {on_failure!r}")
    return Policy(
        batch=check_batch(batch, "--batch") if batch else plan.batch,
        pause=float(pause) if pause else plan.pause,
        on_failure="rollback" if (on_failure or plan.on_failure) == "rollback" else "stop",
    )


def deploy(
    fleet: Fleet,
    get_target: Callable[[Callable[[], None]], Target],
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    force: bool = False,
    migrate: bool = True,
) -> Plan:
    """Put an artifact live on the app hosts of `selection`.

    Parameters:
        get_target: finds or makes the artifact; before work that takes minutes it calls its argument, which refuses
            when a host is not ready for a rollout.

    Raises:
        Refused: nothing was changed. Failed: the message says what each host runs now.
    """
    with connecting(fleet, selection):
        target = get_target(lambda: check_reachable(fleet, selection))
    artifact = target.artifact
    with (
        Uploader(artifact) as uploader,
        holding(
            fleet,
            selection,
            "deploy",
            emit,
            version=artifact.label,
            manifest=manifest(artifact),
            on_facts=uploader.prepare,
        ) as lease,
    ):
        now = datetime.now(UTC)
        plan = plan_deploy(fleet.inventory, lease.facts, artifact, now, force=force, migrate=migrate, name=target.name)
        emit_plan(plan, emit)
        roll_out(fleet, plan, policy, lease, uploader, emit)
        if target.store is not None:
            _note_live(target.store, fleet.inventory.name, plan, artifact)
    if plan.idle:
        asked = [step.host.name for step in plan.hosts]
        every = [host.name for host in fleet.inventory.all_app_hosts]
        where = "every host" if set(asked) == set(every) else ", ".join(asked)
        emit(Settled("", f"{plan.label} is live on {where} already; --force puts it live again"))
    elif fleet.inventory.deploy.migrate is not None and not migrate:
        left_out = "no migration was run (--no-migrate): the next release runs what is left, and so does --force"
        emit(Warn("", left_out))
    return plan


def _note_live(store: Store, environment: str, plan: Plan, artifact: Artifact) -> None:
    """Note in `store` what `plan` has put live; the release's name is that of most hosts."""
    names = [step.release for step in plan.hosts]
    made = artifact.manifest
    live = PutLive(made.sha256, made.commit, made.subject, made.dirty, max(names, key=names.count))
    before = store.last_live(environment)
    if before is not None and (before.sha256, before.release) == (live.sha256, live.release):
        # Also when another commit has the same source: hosts keep the commit that it was first deployed as.
        return
    store.note_live(environment, live)


def _known_digests(store: Store | None, plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the digests that the releases of `plan` may have, by the host's name, where this machine has the artifact.

    A host's answer about its release decides only with which artifact the release is compared.
    """
    if store is None:
        return {}
    releases = {step.host.name: step.about for step in plan.hosts if step.activate}
    artifacts = {sha256: store.with_sha256(sha256) for sha256 in {it.sha256 for it in releases.values() if it.sha256}}
    return {name: digests(found) for name, it in releases.items() if (found := artifacts.get(it.sha256))}


def roll_back(
    fleet: Fleet,
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    to: str = "",
    store: Store | None = None,
    force: bool = False,
) -> Plan:
    """Roll the app hosts of `selection` back to their previous release, or to `to`.

    Parameters:
        store: where this machine notes what it put live last; a rollback clears the note. The hosts' releases are
            compared with its artifacts.
        force: roll back also to a release that is not as it was deployed.
    """
    with holding(fleet, selection, "rollback", emit, version=to) as lease:
        plan = plan_rollback(fleet.inventory, lease.facts, to)
        emit_plan(plan, emit)
        # Clear the note: only the hosts say what they go back to, and to put that on others takes a person's word.
        if store is not None:
            store.note_live(fleet.inventory.name, None)
        roll_out(fleet, plan, policy, lease, None, emit, known=_known_digests(store, plan), force=force)
    return plan


def restart(
    fleet: Fleet,
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    store: Store | None = None,
    force: bool = False,
) -> Plan:
    """Give the app hosts of `selection` a new instance of what is live, in the other slot; the rest as `roll_back`."""
    with holding(fleet, selection, "restart", emit) as lease:
        plan = plan_restart(fleet.inventory, lease.facts)
        roll_out(fleet, plan, policy, lease, None, emit, known=_known_digests(store, plan), force=force)
    return plan


def renew_secrets(fleet: Fleet, policy: Policy, emit: Emit) -> None:
    """Write the inventory's secrets on the chosen app hosts, and restart the app where it runs with earlier ones.

    Raises:
        Refused: somebody holds the deploy lock of a host, or a host cannot be reached; nothing was changed.
        Failed: the secrets are written, but an app still runs without them.
    """
    check_free(fleet)
    stale = secret_file.push(fleet, emit)
    if stale:
        restart_changed(fleet, stale, "the new secrets are written", policy, emit)


def restart_changed(fleet: Fleet, names: Collection[str], what: str, policy: Policy, emit: Emit) -> None:
    """Restart the app on the hosts of those names, because of a change there: `what`, a sentence.

    Raises: Failed, also where the restart is refused, because something was changed.
    """
    others = frozenset(host.name for host in fleet.inventory.app_hosts if host.name not in names)
    try:
        restart(fleet, HostSelection(skip=others), policy, emit)
    except Refused as refused:
        message = f"{what}, but the app still runs without that on {', '.join(sorted(names))}"
        raise Failed(f"{message}: {refused.sentence}", refused.hint, refused.details) from refused


def preview_deploy(fleet: Fleet, source: Source) -> list[dict[str, Any]]:
    """Return what a deploy of `source` would do to each app host; see `preview.preview_rows`."""
    facts = look(fleet, HostSelection().hosts(fleet.inventory), silent)
    return preview_rows(facts, source, fleet.inventory.release_name)
