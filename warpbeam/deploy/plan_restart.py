"""The plan of a restart, from the facts of hosts alone."""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.deploy.plan import Plan, check_memory_of, plan_host
from warpbeam.deploy.preflight import check_helper
from warpbeam.error import Refused
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Inventory


def plan_restart(inventory: Inventory, facts: Mapping[str, HostFacts]) -> Plan:
    """Return the plan that restarts what is live on every host. Pure.

    Raises:
        Refused: nothing is live on a host, or it has another privileged helper.
    """
    steps = []
    for host in (host for host in inventory.app_hosts if host.name in facts):
        check_helper(host.name, facts[host.name])
        live = facts[host.name].live_release
        if live is None:
            raise Refused("nothing is live", "deploy first", host=host.name)
        steps.append(plan_host(host, facts[host.name], live))
    check_memory_of(inventory, facts, steps)
    return Plan("restart", steps[0].label, tuple(steps))
