"""A deploy: from what a user asks for to a live release on every host."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from warpbeam.build.digest import digests
from warpbeam.deploy.fitting import Artifacts
from warpbeam.deploy.lock import holding
from warpbeam.deploy.plan import Plan, emit_plan
from warpbeam.deploy.plan_deploy import plan_deploy
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.put_live import note_live, share_live
from warpbeam.deploy.rollout import roll_out
from warpbeam.deploy.signatures import check_signatures, place_signatures
from warpbeam.deploy.target import TargetRequest, find_target, store_of
from warpbeam.deploy.upload import Uploader
from warpbeam.event import Emit, Settled, Warn
from warpbeam.fleet.connecting import connecting
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.store.store import PutLive


def deploy(
    fleet: Fleet,
    asked: TargetRequest,
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    force: bool = False,
    migrate: bool = True,
) -> Plan:
    """Put the artifacts that were asked for live on the app hosts of `selection`: on each the one that fits it.

    Parameters:
        force: put one live again where it is live already.
        migrate: run the migrations before any host is switched.

    Raises:
        Refused: nothing was changed. Failed: the message says what each host runs now.
    """
    with connecting(fleet, selection):
        target = find_target(fleet, asked, selection, emit)
    store = store_of(fleet, asked.project)
    artifacts, label = target.artifacts, target.artifacts.label
    signatures = check_signatures(artifacts.each, fleet.inventory, store, asked.shared, emit)
    with (
        Uploader(artifacts, signatures) as uploader,
        holding(fleet, selection, "deploy", emit, version=label, claim=uploader.claim) as lease,
    ):
        now = datetime.now(UTC)
        plan = plan_deploy(fleet.inventory, lease.facts, artifacts, now, force=force, migrate=migrate, name=target.name)
        emit_plan(plan, emit)
        place_signatures(fleet, lease, store, emit)
        roll_out(fleet, plan, policy, lease, uploader, emit, known=_known_digests(artifacts, lease.facts))
        if target.store is not None:
            note_live(target.store, fleet.inventory.name, _put_live(plan, artifacts))
    if target.store is not None and asked.shared is not None:
        share_live(target.store.last_live(fleet.inventory.name), asked.shared, fleet.inventory.name, emit)
    _emit_nothing_done(fleet, plan, emit, migrate=migrate)
    return plan


def _known_digests(artifacts: Artifacts, hosts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the digest that each host's release may have, by the host's name."""
    # Nothing less: a release that only an earlier version knows is uploaded anew.
    each = {artifact.manifest.sha256: digests(artifact)[:1] for artifact in artifacts.each}
    return {name: each[artifacts.of(name).manifest.sha256] for name in hosts}


def _put_live(plan: Plan, artifacts: Artifacts) -> PutLive:
    """Return what `plan` has put live; the release's name is that of most hosts."""
    names = [step.release for step in plan.hosts]
    made = artifacts.of(plan.hosts[0].host.name).manifest
    _, *others = dict.fromkeys(artifacts.of(step.host.name).manifest.sha256 for step in plan.hosts)
    release = max(names, key=names.count)
    return PutLive(made.sha256, made.commit, made.subject, made.dirty, release, tuple(others))


def _emit_nothing_done(fleet: Fleet, plan: Plan, emit: Emit, *, migrate: bool) -> None:
    """Emit that no host was changed, or that the migrations were left out, where that is so."""
    if plan.idle:
        asked = [step.host.name for step in plan.hosts]
        every = [host.name for host in fleet.inventory.all_app_hosts]
        where = "every host" if set(asked) == set(every) else ", ".join(asked)
        emit(Settled("", f"{plan.label} is live on {where} already; --force puts it live again"))
    elif not migrate and fleet.inventory.migrate_hosts(fleet.inventory.app_hosts):
        left_out = "no migration was run (--no-migrate): the next release runs what is left, and so does --force"
        emit(Warn("", left_out))
