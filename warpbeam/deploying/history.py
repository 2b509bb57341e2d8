"""What happened on hosts: a line for each deploy, rollback, restart and failure, kept on the host itself."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from warpbeam.error import Problem
from warpbeam.event import Tell
from warpbeam.fleet import Fleet
from warpbeam.phase import Phase


class Entry(msgspec.Struct, frozen=True):
    """One line. `what` is deploy, rollback or restart; `outcome` is done, failed or brought back."""

    at: str
    what: str
    outcome: str
    release: str
    version: str = ""
    commit: str = ""
    before: str = ""
    who: str = ""
    seconds: float = 0
    problem: str = ""


class Entries(msgspec.Struct, frozen=True):
    """A host's answer: lines as they were written."""

    entries: tuple[str, ...]


class AskHistory(Phase[Entries], frozen=True):
    """Read the last lines; fields as `scripts/history.sh` tells."""

    script: ClassVar[str] = "history"
    answer: ClassVar[type] = Entries
    root: str
    count: int


def history_rows(fleet: Fleet, count: int, tell: Tell) -> list[dict[str, Any]]:
    """The last `count` entries of every app host, oldest first; a host that cannot be asked has its problem."""
    phase = AskHistory(str(fleet.inventory.root), count)
    results = fleet.everywhere(list(fleet.inventory.app_hosts), lambda host: fleet.run(host, phase, tell))
    rows: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for host, result in results.items():
        if isinstance(result, Problem):
            problems.append({"host": host, "problem": result.message})
            continue
        rows += [row for line in result.entries if (row := _row(host, line)) is not None]
    return sorted(rows, key=lambda row: (row["at"], row["host"])) + problems


def _row(host: str, line: str) -> dict[str, Any] | None:
    try:
        entry = msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        # A full disk may have cut a line short; the others are still history.
        return None
    row = {"at": entry.at, "host": host, **msgspec.to_builtins(entry)}
    row["commit"] = entry.commit[:8]
    if not entry.problem:
        del row["problem"]
    return row
