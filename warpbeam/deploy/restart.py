"""Restart: a new instance of what is live."""

from __future__ import annotations

from collections.abc import Collection

from warpbeam.deploy.lock import holding
from warpbeam.deploy.plan import Plan
from warpbeam.deploy.plan_restart import plan_restart
from warpbeam.deploy.policy import Policy
from warpbeam.deploy.rollout import roll_out
from warpbeam.deploy.signatures import place_signatures
from warpbeam.deploy.verify import known_digests
from warpbeam.error import Failed, Refused
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.store.directory import DirectoryStore


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
    others = ",".join(host.name for host in fleet.inventory.app_hosts if host.name not in names)
    try:
        restart(fleet, HostSelection(skip=others or None), policy, emit)
    except Refused as refused:
        message = f"{what}, but the app still runs without that on {', '.join(sorted(names))}"
        raise Failed(f"{message}: {refused.sentence}", refused.hint, refused.details) from refused
