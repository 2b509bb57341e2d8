"""The app's own nftables table: the public port leads to the live slot."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from warpbeam.error import Failed, Problem
from warpbeam.event import Settled, Tell
from warpbeam.fleet import Fleet
from warpbeam.inventory import SLOTS, Host
from warpbeam.phase import Phase
from warpbeam.provisioning.footprint import door, redirect_files


class Table(msgspec.Struct, frozen=True):
    """The table as the kernel has it: its text, the port it leads to, whether a reboot would bring it back.

    `maintenance`: it is to lead to the page, whatever is live.
    """

    text: str
    port: str
    live: str
    kept: bool
    maintenance: bool


class Firewall(Phase[Table], frozen=True):
    """Load, remove or read the table, as root; fields as `scripts/firewall.sh` tells."""

    script: ClassVar[str] = "firewall"
    answer: ClassVar[type] = Table
    app: str
    root: str
    door: str
    verb: str
    files: tuple[str, ...]


def firewall(fleet: Fleet, verb: Literal["apply", "clear", "status"], tell: Tell) -> dict[str, Table]:
    """Do `verb` on every app host, as admin, and return what the kernel has afterwards.

    `apply` loads the redirect of the live slot, now and at every boot; `clear` removes it, and setup or `apply`
    brings it back.

    Raises: Failed, where a host could not do it; the others did.
    """
    inventory = fleet.inventory
    files = tuple(part for file in redirect_files(inventory) for part in (file.path, file.content))
    phase = Firewall(inventory.app, str(inventory.root), door(inventory), verb, files)

    def one(host: Host) -> Table:
        return fleet.run(host, phase, tell, identity="admin")

    tables: dict[str, Table] = {}
    problem: Problem | None = None
    for name, result in fleet.everywhere(list(inventory.app_hosts), one).items():
        if isinstance(result, Problem):
            problem = problem or result
            continue
        tables[name] = result
        if verb != "status":
            tell(Settled(name, table_sentence(result, inventory.http.port)))
    if problem is not None:
        raise problem if verb == "status" else Failed(problem.message, problem.hint, problem.details)
    return tables


def table_sentence(table: Table, public: int) -> str:
    """What the table does, in words."""
    if not table.port:
        nowhere = f"port {public} leads nowhere"
        if table.maintenance:
            return f"{nowhere}, though maintenance is on"
        return nowhere + (": nothing is live yet" if table.kept and not table.live else "")
    if table.maintenance:
        return f"port {public} leads to the maintenance page (port {table.port}), until maintenance.off"
    return f"port {public} leads to slot {table.live} (port {table.port})"


def table_rows(fleet: Fleet, tables: dict[str, Table]) -> list[dict[str, Any]]:
    """One row a host, for a table or JSON."""
    inventory = fleet.inventory
    rows = []
    for name, table in tables.items():
        want = str(inventory.http.slots[SLOTS.index(table.live)]) if table.live in SLOTS else ""
        if table.maintenance:
            want = str(inventory.http.maintenance)
        row: dict[str, Any] = {
            "host": name,
            "public": inventory.http.port,
            "leads to": table.port or "nowhere",
            "live": table.live or "nothing",
            "at boot": "yes" if table.kept else "no",
            "maintenance": "on" if table.maintenance else "off",
        }
        if want != table.port:
            row["problem"] = f"expected port {want or 'none'}: run firewall.apply"
        rows.append(row)
    return rows
