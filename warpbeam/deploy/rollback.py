"""Releases that hosts have already, put live again: roll back, restart."""

from __future__ import annotations

from collections.abc import Collection

from warpbeam.build.digest import digests
from warpbeam.deploy.lock import holding
from warpbeam.deploy.plan import Plan, emit_plan
from warpbeam.deploy.plan_rollback import plan_restart, plan_rollback
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.rollout import roll_out
from warpbeam.deploy.signatures import place_signatures
from warpbeam.error import Failed, Refused
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.store.directory import DirectoryStore


def roll_back(
    fleet: Fleet,
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    to: str = "",
    store: DirectoryStore | None = None,
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
        place_signatures(fleet, lease, store, emit)
        roll_out(fleet, plan, policy, lease, None, emit, known=known_digests(store, plan), force=force)
    return plan


def restart(
    fleet: Fleet,
    selection: HostSelection,
    policy: Policy,
    emit: Emit,
    *,
    store: DirectoryStore | None = None,
    force: bool = False,
) -> Plan:
    """Give the app hosts of `selection` a new instance of what is live, in the other slot; the rest as `roll_back`."""
    with holding(fleet, selection, "restart", emit) as lease:
        plan = plan_restart(fleet.inventory, lease.facts)
        place_signatures(fleet, lease, store, emit)
        roll_out(fleet, plan, policy, lease, None, emit, known=known_digests(store, plan), force=force)
    return plan


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


def known_digests(store: DirectoryStore | None, plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the digests that the releases of `plan` may have, by the host's name, where this machine has the artifact.

    A host's answer about its release decides only with which artifact the release is compared.
    """
    if store is None:
        return {}
    releases = {step.host.name: step.about for step in plan.hosts if step.activate}
    artifacts = {sha256: store.with_sha256(sha256) for sha256 in {it.sha256 for it in releases.values() if it.sha256}}
    return {name: digests(found) for name, it in releases.items() if (found := artifacts.get(it.sha256))}
