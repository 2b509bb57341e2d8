"""The history of hosts: an entry for each deploy, rollback, restart and failure, kept on the host itself.

The command begins the entry of an activation; the host's own job writes it, with or without a connection. A command
writes the entry of a failure before an activation. The script of any other action on the app writes that action's.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import msgspec

from warpbeam.deploy.lock import PARTS, Lease, this_user
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
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.facts import About
from warpbeam.host.phase import Done
from warpbeam.version import VERSION
from warpbeam.visible import visible

# The format of an entry's time: UTC.
AT = "%Y-%m-%dT%H:%M:%SZ"

# The shared parts that write the history, and the parts of a script that acts on the app and notes that there.
HISTORY_PARTS = ("deploy/result", "deploy/history")
ACTION_PARTS = (*HISTORY_PARTS, "deploy/note_action")


class Entry(msgspec.Struct, frozen=True):
    """A history entry. `what` is the command; unless it is deploy, rollback or restart, `release` is what was live.

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
    """The beginning of an activation's history entry; `entry` are its fields so far, as `fields_of` returns them.

    `spent` are the tenths of a second since the command began; `success` is the outcome if the release becomes live.
    """

    job: str
    spent: int
    success: str
    entry: tuple[str, ...]


def new_job() -> str:
    """Return an id for an activation, which no other has."""
    return secrets.token_hex(8)


class HistoryWriter(msgspec.Struct, frozen=True):
    """The writer of all history entries of one command; `began` is in UTC."""

    plan: Plan
    lease: Lease
    began: datetime

    def entry_begun(self, step: HostPlan, job: str) -> PendingEntry:
        """Return the pending entry of this command's activation `job` on the host of `step`."""
        return PendingEntry(job, round(self._seconds() * 10), "done", fields_of(self._known(step)))

    def entry_of_return(self, step: HostPlan, job: str) -> PendingEntry:
        """Return the pending entry of the activation `job` that rolls a host back to what was live before."""
        before = self.lease.facts[step.host.name].live_release
        back = msgspec.structs.replace(
            step,
            release=step.before_release,
            before_release=step.release,
            about=before.artifact if before else About(),
        )
        return PendingEntry(job, round(self._seconds() * 10), "brought back", fields_of(self._known(back)))

    def ending(self, step: HostPlan, outcome: str, problem: str, job: str = "") -> str:
        """Return a whole entry; `job` is the id of an activation that failed or never began, or empty."""
        fields = {"outcome": outcome, "seconds": round(self._seconds(), 1), "problem": visible(problem)}
        whole = {**self._known(step), **fields, **({"job": job} if job else {})}
        return msgspec.json.encode(whole).decode()

    def _seconds(self) -> float:
        return max(0.0, (datetime.now(UTC) - self.began).total_seconds())

    def _known(self, step: HostPlan) -> dict[str, object]:
        return {
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


def fields_of(known: Mapping[str, object]) -> tuple[str, ...]:
    """Return these fields as the arguments of a script's `object` (`warpbeam/host/common.sh`)."""
    return tuple(text for name, value in known.items() for text in (f"{name}:", msgspec.json.encode(value).decode()))


def action_entry(what: str) -> tuple[str, ...]:
    """Return the beginning of the entry of an action that is no activation (`warpbeam/deploy/note_action.sh`)."""
    at = datetime.now(UTC).strftime(AT)
    return fields_of({"at": at, "what": what, "who": this_user(what, "").who, "warpbeam": VERSION})


class NoteFailure(AppPhase[Done], frozen=True, kw_only=True):
    """Write the entry of a failure; the head of `warpbeam/deploy/note_failure.sh` explains its fields."""

    script: ClassVar[str] = "deploy/note_failure"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HISTORY_PARTS)
    answer: ClassVar[type] = Done
    token: str
    entry: str


def note(fleet: Fleet, writer: HistoryWriter, step: HostPlan, outcome: str, problem: str, emit: Emit) -> None:
    """Have the host of `step` keep the entry of a failure before its activation, if the host can be reached."""
    entry = writer.ending(step, outcome, problem)
    phase = NoteFailure(**app_parameters(fleet.inventory), token=writer.lease.token, entry=entry)
    with contextlib.suppress(Problem):
        fleet.run(step.host, phase, emit)


def note_failures(
    fleet: Fleet, writer: HistoryWriter, steps: Mapping[str, HostPlan], problems: Mapping[str, Problem], emit: Emit
) -> None:
    """Write a line in the history of each host that failed before it was switched; both are by the host's name."""
    failing = [steps[name].host for name in problems]
    fleet.everywhere(
        failing, lambda host: note(fleet, writer, steps[host.name], "failed", problems[host.name].message, emit)
    )


class Entries(msgspec.Struct, frozen=True):
    """The answer of a host: entries as they were written."""

    entries: Annotated[tuple[LongText, ...], MANY]


class ReadHistory(AppPhase[Entries], frozen=True, kw_only=True):
    """Read the last entries; the head of `warpbeam/deploy/read_history.sh` explains its fields."""

    script: ClassVar[str] = "deploy/read_history"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HISTORY_PARTS)
    answer: ClassVar[type] = Entries
    token: str
    count: int

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def history_rows(fleet: Fleet, count: int, emit: Emit) -> list[dict[str, Any]]:
    """Return the last `count` entries of every app host, oldest first; for a host that cannot be asked, its problem."""
    phase = ReadHistory(**app_parameters(fleet.inventory), token="", count=count)
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


def rows_for_people(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return history rows that fit a screen: without the version of Warpbeam, and a freeze's reason under its row."""
    shown = []
    for row in rows:
        fit = {key: value for key, value in row.items() if key != "warpbeam"}
        what, _, reason = str(row.get("what", "")).partition(": ")
        if reason:
            fit |= {"what": what, "problem": "; ".join(filter(None, (reason, row.get("problem"))))}
        shown.append(fit)
    return shown


def _entry(line: str) -> Entry | str | None:
    """Return a line as an entry, or what is wrong with it. None: a full disk may cut a line of an earlier version."""
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
