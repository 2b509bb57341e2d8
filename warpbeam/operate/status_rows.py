"""The instances of an app as rows of `status`: one for each slot that runs or is live, with its problem."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from warpbeam.error import Problem
from warpbeam.host.facts import Instance, named
from warpbeam.inventory.schema import Inventory
from warpbeam.network.cluster import mates, seen_hosts
from warpbeam.operate.status import AppStatus


def status_rows(inventory: Inventory, found: Mapping[str, AppStatus | Problem]) -> list[dict[str, Any]]:
    """Return one row for each running or live slot of each host; a host that cannot be asked has its problem.

    If nodes have peers, the row of a live slot lists under `sees` the hosts whose live nodes its node is connected to.
    """
    rows: list[dict[str, Any]] = []
    for host, state in found.items():
        if isinstance(state, Problem):
            rows.append({"host": host, "problem": state.reason})
            continue
        slots = state.helper.slots
        shown = [slot for slot, instance in slots.items() if slot == state.live or instance.pid]
        if not shown:
            rows.append({"host": host, "problem": "nothing is live: deploy first"})
        rows += [_row(host, state, slot, slots[slot]) for slot in shown]
    _add_sight(inventory, found, rows)
    groups = inventory.group_column()
    if not groups:
        return rows
    return [{"host": row["host"], "group": groups.get(row["host"], ""), **row} for row in rows]


def _row(host: str, state: AppStatus, slot: str, instance: Instance) -> dict[str, Any]:
    live = slot == state.live
    pid, release = instance.pid, instance.release
    linked = state.slots.get(slot, "")
    found = named(state.releases, release or linked)
    about = found.artifact if found else None
    row: dict[str, Any] = {
        "host": host,
        "release": release or linked,
        "version": instance.version or (about.version if about else ""),
        "commit": about.short_commit if about else "",
        "slot": slot,
        "live": live,
        "state": f"{instance.state} ({instance.substate})",
        "pid": pid,
        "since": shown_time(instance.started) if instance.started else "",
        "memory": instance.memory,
        "restarts": instance.restarts,
        "health": state.verdict if live else "",
    }
    if live and state.helper.maintenance:
        row["maintenance"] = True
        row["problem"] = "maintenance is on: the public port answers 503 until `maintenance.off`"
    if live and not pid:
        row["problem"] = "it is live, but does not run: `start` starts it, and so does a reboot"
    if live and release and release != linked:
        row["problem"] = f"runs {release}, but its link leads to {linked or 'nothing'}"
    if not live:
        row["problem"] = "runs, but is not live"
    return row


def shown_time(seconds: int) -> str:
    """Return a time for people, in UTC: 2026-11-23 12:00:00 UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _add_sight(inventory: Inventory, found: Mapping[str, AppStatus | Problem], rows: list[dict[str, Any]]) -> None:
    """Add to each live row the other hosts that its node sees, if it may see any."""
    answers = {
        host: (state.live, state.links)
        for host, state in found.items()
        if isinstance(state, AppStatus) and state.running is not None
    }
    for row in rows:
        host = row["host"]
        if not row.get("live") or host not in answers or not mates(inventory, inventory.hosts[host]):
            continue
        sight = seen_hosts(inventory, inventory.hosts[host], answers)
        row["sees"] = [name for name, sees in sight.items() if sees]
        if (unseen := [name for name, sees in sight.items() if not sees]) and "problem" not in row:
            row["problem"] = f"its node does not see that of {', '.join(unseen)}: `doctor` says why"
