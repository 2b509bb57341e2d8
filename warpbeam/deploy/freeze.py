"""The deploy lock at a person's request: a freeze keeps everybody from deploying until it is released."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from warpbeam.deploy.history import ACTION_PARTS, action_entry
from warpbeam.deploy.lock import GUARDED, PARTS, this_user
from warpbeam.error import Failed, Lost, Misuse, Problem, Refused, restated
from warpbeam.event import Emit, Settled
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.helper.program import helper
from warpbeam.host.answer import LARGEST
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.facts import Holder, sifted
from warpbeam.inventory.schema import Host

# The most characters of a reason: everybody who is refused reads it.
LONGEST = 500


class Locked(msgspec.Struct, frozen=True):
    """The holder of the lock now, and the one before the command; `left` is in seconds, for a lease."""

    before: Holder | None
    holder: Holder | None
    frozen: bool
    left: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]


class Freeze(AppPhase[Locked], frozen=True, kw_only=True):
    """Read, take or give back the lock; the head of `warpbeam/deploy/freeze.sh` explains its fields."""

    script: ClassVar[str] = "deploy/freeze"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *ACTION_PARTS, "provision/owner")
    answer: ClassVar[type] = Locked
    token: str
    verb: str
    text: str
    words: str
    force: bool
    helper: str
    environment: str
    entry: tuple[str, ...]

    sift = staticmethod(sifted)

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return self.verb == "status"

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return None if self.looks else GUARDED


def lock_status(fleet: Fleet, emit: Emit) -> list[dict[str, Any]]:
    """Return one row for each host: who holds its lock, why and since when."""
    rows: list[dict[str, Any]] = []
    for name, result in _everywhere(fleet, _phase(fleet, "status"), emit).items():
        if isinstance(result, Problem):
            rows.append({"host": name, "problem": result.message})
            continue
        holder = result.holder or Holder()
        state = "frozen" if result.frozen else f"held, {result.left} s left" if result.holder else "free"
        rows.append(
            {
                "host": name,
                "lock": state,
                "who": holder.who,
                "why": holder.why,
                "version": holder.version,
                "since": holder.since,
            }
        )
    return rows


def freeze(fleet: Fleet, reason: str, emit: Emit) -> None:
    """Take the lock on every app host until `thaw`, or on none.

    Raises:
        Misuse: the reason is no line of text, or too long.
        Refused: a host cannot be reached, or its lock is held; the locks of the others are given back.
        Failed: a host did not give its lock back, or the outcome there is unknown: it may be frozen.
    """
    if len(reason) > LONGEST or not reason.isprintable():
        raise Misuse(f"--reason takes one line of at most {LONGEST} characters", "say it shorter")
    phase = _phase(fleet, "acquire", f": {reason}", this_user(f"freeze: {reason}", ""))
    results = _everywhere(fleet, phase, emit)
    problems = [result for result in results.values() if isinstance(result, Problem)]
    if problems:
        # A host may have taken the lock although its connection ended in the middle.
        hosts = HostSelection().hosts(fleet.inventory)
        taken = [host for host in hosts if isinstance(results[host.name], Locked | Lost)]
        undo = msgspec.structs.replace(phase, verb="release", entry=_entry("release"))
        undone = fleet.everywhere(taken, lambda host: fleet.run(host, undo, emit))
        if left := [name for name, result in undone.items() if isinstance(result, Problem)]:
            raise restated(
                problems[0],
                Failed,
                f"; {', '.join(left)} may be frozen all the same",
                hint="`fab ENV lock.status` shows it, `fab ENV lock.release` ends it",
            )
        raise restated(problems[0], Refused, "; nothing more is frozen")
    for name in results:
        emit(Settled(name, "frozen: nobody deploys until `lock.release`"))


def thaw(fleet: Fleet, emit: Emit, *, force: bool = False) -> None:
    """Give back a freeze on every app host; with `force` also the lease of a command that is gone.

    Raises: Refused, where every host refused; Failed, where one did, and the others were released.
    """
    problem: Problem | None = None
    results = _everywhere(fleet, _phase(fleet, "release", force=force), emit)
    for name, result in results.items():
        if isinstance(result, Problem):
            problem = problem or result
        else:
            emit(Settled(name, f"released; it was held by {result.before}" if result.before else "was free"))
    if problem is not None:
        nothing = all(isinstance(result, Refused) for result in results.values())
        raise restated(problem, Refused if nothing else Failed, "; no lock was released" if nothing else "")


def _phase(
    fleet: Fleet,
    verb: Literal["status", "acquire", "release"],
    remark: str = "",
    holder: Holder | None = None,
    *,
    force: bool = False,
) -> Freeze:
    return Freeze(
        **app_parameters(fleet.inventory),
        token=secrets.token_hex(16),
        verb=verb,
        text=msgspec.json.encode(holder).decode() if holder else "",
        words=str(holder or ""),
        force=force,
        helper=helper(fleet.inventory),
        environment=fleet.inventory.name,
        entry=_entry(verb, remark),
    )


def _entry(verb: str, remark: str = "") -> tuple[str, ...]:
    return action_entry(f"lock.{verb}{remark}")


def _everywhere(fleet: Fleet, phase: Freeze, emit: Emit) -> dict[str, Locked | Problem]:
    def one(host: Host) -> Locked:
        return fleet.run(host, phase, emit)

    return fleet.everywhere(HostSelection().hosts(fleet.inventory), one)
