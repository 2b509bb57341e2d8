"""What happened on hosts: a line for each deploy, rollback, restart and failure, kept on the host itself.

The line of an activation is begun by the command and written by the host's own job, whoever is there to hear of it. A
command writes one itself about what failed without an activation; and what else people do to the app has one, written
by the script that does it.
"""

from __future__ import annotations

import contextlib
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import msgspec

from warpbeam.deploy.lock import PARTS, Done, Lease, this_user
from warpbeam.deploy.plan import HostPlan, Plan
from warpbeam.error import Problem
from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import (
    MANY,
    JobId,
    LongText,
    Moment,
    ObjectId,
    ReleaseName,
    Seconds,
    StateName,
    Text,
    Version,
    explained,
)
from warpbeam.host.facts import About
from warpbeam.host.phase import Phase
from warpbeam.version import VERSION
from warpbeam.visible import visible

# How a line's time is written: UTC.
AT = "%Y-%m-%dT%H:%M:%SZ"

# The shared part that writes the history, and those of a script that does something to the app and notes it there.
HISTORY_PART = "deploy/history"
ACTION_PARTS = (HISTORY_PART, "deploy/note_action")


class Entry(msgspec.Struct, frozen=True):
    """One line. `what` is the command; where that is no deploy, rollback or restart, `release` is what was live.

    `outcome` is done, failed, brought back (what was live before is live again, because another host failed, or this
    one after the pause), interrupted (somebody stopped it, and it was undone) or unknown (it was killed, or the host
    went down). `seconds` are from the beginning of the command; `job` is the id of the activation, where there was one.
    `warpbeam` is the version of Warpbeam that ran the command; empty where that was older than 0.2.
    """

    at: Moment
    what: Text
    outcome: StateName
    release: ReleaseName
    version: Version = ""
    commit: ObjectId = ""
    dirty: bool = False
    before: ReleaseName = ""
    who: Text = ""
    seconds: Seconds = 0
    problem: LongText = ""
    job: JobId = ""
    warpbeam: Version = ""


class PendingEntry(msgspec.Struct, frozen=True):
    """What the line of an activation is begun with; `entry` is JSON.

    `spent` are the tenths of a second that went before it, `success` is what its outcome is called where it is live.
    """

    job: str
    spent: int
    success: str
    entry: str


class HistoryWriter(msgspec.Struct, frozen=True):
    """What all lines of one command have in common; `began` in UTC."""

    plan: Plan
    lease: Lease
    began: datetime

    def entry_begun(self, step: HostPlan) -> PendingEntry:
        """How the line of an activation by this command begins."""
        return PendingEntry(secrets.token_hex(8), round(self._seconds() * 10), "done", self._text(step))

    def return_opening(self, step: HostPlan) -> PendingEntry:
        """How the line of the activation begins that takes a host back to what was live before this command."""
        before = self.lease.facts[step.host.name].live_release
        back = msgspec.structs.replace(
            step,
            release=step.before_release,
            before_release=step.release,
            about=before.artifact if before else About(),
        )
        return PendingEntry(secrets.token_hex(8), round(self._seconds() * 10), "brought back", self._text(back))

    def ending(self, step: HostPlan, outcome: str, problem: str, job: str = "") -> str:
        """A whole line; `job` is the id of the activation that never began, or empty."""
        told = {"outcome": outcome, "seconds": round(self._seconds(), 1), "problem": visible(problem)}
        return self._text(step, **told, **({"job": job} if job else {}))

    def _seconds(self) -> float:
        return max(0.0, (datetime.now(UTC) - self.began).total_seconds())

    def _text(self, step: HostPlan, **told: object) -> str:
        known = {
            "at": self.began.strftime(AT),
            "what": self.plan.why,
            "release": step.release,
            "version": step.about.version,
            "commit": step.about.commit,
            "dirty": step.about.dirty,
            "before": step.before_release,
            "who": self.lease.holder.who,
            "warpbeam": VERSION,
        }
        return msgspec.json.encode({**known, **told}).decode()


def action_entry(what: str) -> str:
    """What a command knows of a line about something that is no activation (`warpbeam/deploy/note_action.sh`)."""
    at = datetime.now(UTC).strftime(AT)
    known = {"at": at, "what": what, "who": this_user(what, "").who, "warpbeam": VERSION}
    return msgspec.json.encode(known).decode()


class NoteFailure(Phase[Done], frozen=True):
    """Write a line about what failed before an activation; fields as `warpbeam/deploy/note_failure.sh` tells."""

    script: ClassVar[str] = "deploy/note_failure"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, HISTORY_PART)
    answer: ClassVar[type] = Done
    root: str
    app: str
    token: str
    entry: str


def note(fleet: Fleet, writer: HistoryWriter, step: HostPlan, outcome: str, problem: str, emit: Emit) -> None:
    """Have the host of `step` keep a line about what failed there before its activation, if it can be reached."""
    inventory = fleet.inventory
    phase = NoteFailure(str(inventory.root), inventory.app, writer.lease.token, writer.ending(step, outcome, problem))
    with contextlib.suppress(Problem):
        fleet.run(step.host, phase, emit)


class Entries(msgspec.Struct, frozen=True):
    """A host's answer: lines as they were written."""

    entries: Annotated[tuple[LongText, ...], MANY]


class ReadHistory(Phase[Entries], frozen=True):
    """Read the last lines; fields as `warpbeam/deploy/read_history.sh` tells."""

    script: ClassVar[str] = "deploy/read_history"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, HISTORY_PART)
    answer: ClassVar[type] = Entries
    root: str
    app: str
    token: str
    count: int

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def history_rows(fleet: Fleet, count: int, emit: Emit) -> list[dict[str, Any]]:
    """The last `count` entries of every app host, oldest first; a host that cannot be asked has its problem."""
    phase = ReadHistory(str(fleet.inventory.root), fleet.inventory.app, "", count)
    results = fleet.everywhere(fleet.inventory.some_app_hosts(), lambda host: fleet.run(host, phase, emit))
    rows: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for host, result in results.items():
        if isinstance(result, Problem):
            problems.append({"host": host, "problem": result.message})
            continue
        entries = [_entry(line) for line in result.entries]
        rows += [_row(host, entry) for entry in entries if isinstance(entry, Entry)]
        if wrong := [entry for entry in entries if isinstance(entry, str)]:
            lines = "1 line" if len(wrong) == 1 else f"{len(wrong)} lines"
            problems.append({"host": host, "problem": f"{lines} of its history cannot be read: {wrong[0]}"})
    return sorted(rows, key=lambda row: (row["at"], row["host"])) + problems


def _entry(line: str) -> Entry | str | None:
    """A line as it was written, or what is wrong with it. None: a full disk may have cut one of an earlier version."""
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.ValidationError as mismatch:
        return explained(str(mismatch))
    except (msgspec.DecodeError, RecursionError):
        return None


def _row(host: str, entry: Entry) -> dict[str, Any]:
    row = {"at": entry.at, "host": host, **msgspec.to_builtins(entry)}
    row["commit"] = entry.commit[:8] + (", dirty" if entry.dirty else "")
    for name in ("dirty", "job"):
        del row[name]
    if not entry.problem:
        del row["problem"]
    return row
