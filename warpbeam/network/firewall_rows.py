"""The rows of `firewall.status`: one for each host and public port, and what is wrong there."""

from __future__ import annotations

from typing import Any

from warpbeam.error import Problem
from warpbeam.fleet.fleet import Fleet
from warpbeam.inventory.schema import SLOTS, Host, Inventory
from warpbeam.network.filter import filter_rules
from warpbeam.network.firewall import Table


def expected_leads(inventory: Inventory, table: Table) -> dict[str, str]:
    """Return where each public port should lead, by what is live and whether maintenance is on."""
    if table.maintenance:
        return {} if inventory.http.port is None else {str(inventory.http.port): str(inventory.http.maintenance)}
    for slot in SLOTS:
        if table.live == slot:
            return {str(public): str(to) for public, to in inventory.leads(slot).items()}
    return {}


def table_rows(fleet: Fleet, tables: dict[str, Table | Problem]) -> list[dict[str, Any]]:
    """Return a row for each host and public port, for a table or JSON; one row for a host that did not answer."""
    rows: list[dict[str, Any]] = []
    for name, table in tables.items():
        if isinstance(table, Problem):
            rows.append({"host": name, "problem": table.reason})
            continue
        host = fleet.inventory.hosts[name]
        inventory = fleet.inventory.of(host)
        want = expected_leads(inventory, table)
        wrong = _wrong(inventory, host, table)
        for public in dict.fromkeys((*map(str, inventory.leads("a")), *table.leads)):
            leads = table.leads.get(public, "")
            problems = list(wrong)
            if want.get(public, "") != leads:
                problems.insert(0, f"expected port {want.get(public) or 'none'}: run firewall.apply")
            row: dict[str, Any] = {
                "host": name,
                "public": int(public),
                "leads to": leads or "nowhere",
                "live": table.live or "nothing",
                "at boot": "yes" if table.kept else "no",
                "maintenance": "on" if table.maintenance else "off",
                "filter": table.filter,
                "connections": table.connections,
                "tracked": table.tracked,
                "at most": table.most,
            }
            if table.others:
                row["filters too"] = ", ".join(table.others)
            if problems:
                row["problem"] = "; ".join(problems)
            rows.append(row)
    return rows


def _wrong(inventory: Inventory, host: Host, table: Table) -> list[str]:
    wrong = []
    wanted = bool(filter_rules(inventory, host))
    if table.filter == "trial":
        wrong.append("a new filter is on trial")
    elif table.filter != ("on" if wanted else "off"):
        expected = "the filter of the inventory" if wanted else "no filter"
        there = {"off": "none", "gone": "one on the disk only"}.get(table.filter, "another" if wanted else "one")
        wrong.append(f"expected {expected}, found {there}: run firewall.apply")
    if 0 < table.most < inventory.firewall.tracked:
        wrong.append(
            f"the kernel tracks at most {table.most} connections; expected {inventory.firewall.tracked}"
            " (net.netfilter.nf_conntrack_max; a container's kernel has it from outside)"
        )
    return wrong
