"""Releases that hosts have already, put live again: roll back, restart."""

from __future__ import annotations

from warpbeam.deploy.lock import holding
from warpbeam.deploy.plan import Plan, emit_plan
from warpbeam.deploy.plan_rollback import plan_rollback
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.rollout import roll_out
from warpbeam.deploy.signatures import place_signatures
from warpbeam.deploy.verify import known_digests
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
