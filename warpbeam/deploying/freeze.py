"""The deploy lock by a person's own word: a freeze keeps everybody from deploying until it is released."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, Literal

import msgspec

from warpbeam.deploying.lease import ourselves
from warpbeam.deploying.reach import Reach
from warpbeam.error import Failed, Problem, Refused
from warpbeam.event import Settled, Tell
from warpbeam.facts import Holder
from warpbeam.fleet import Fleet
from warpbeam.inventory import Host
from warpbeam.phase import Phase


class Locked(msgspec.Struct, frozen=True):
    """Who holds the lock now, and who held it before the command; `left` is in seconds, for a lease."""

    before: Holder | None
    holder: Holder | None
    frozen: bool
    left: int


class Freeze(Phase[Locked], frozen=True):
    """Read, take or give back the lock; fields as `scripts/freeze.sh` tells."""

    script: ClassVar[str] = "freeze"
    parts: ClassVar[tuple[str, ...]] = ("common", "lease")
    answer: ClassVar[type] = Locked
    root: str
    token: str
    verb: str
    text: str
    words: str
    force: bool


def lock_status(fleet: Fleet, tell: Tell) -> list[dict[str, Any]]:
    """One row a host: who holds its lock, why and since when."""
    rows: list[dict[str, Any]] = []
    for name, result in _everywhere(fleet, _phase(fleet, "status"), tell).items():
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


def freeze(fleet: Fleet, reason: str, tell: Tell) -> None:
    """Take the lock on every app host until `thaw`, or on none.

    Raises: Refused, where a host cannot be reached or its lock is held; the others' are given back.
    """
    phase = _phase(fleet, "acquire", ourselves(f"freeze: {reason}", ""))
    results = _everywhere(fleet, phase, tell)
    problems = [result for result in results.values() if isinstance(result, Problem)]
    if problems:
        taken = [host for host in Reach().hosts(fleet.inventory) if not isinstance(results[host.name], Problem)]
        undo = msgspec.structs.replace(phase, verb="release")
        fleet.everywhere(taken, lambda host: fleet.run(host, undo, tell))
        raise Refused(f"{problems[0].message}; nothing is frozen", problems[0].hint)
    for name in results:
        tell(Settled(name, "frozen: nobody deploys until `lock.release`"))


def thaw(fleet: Fleet, tell: Tell, *, force: bool = False) -> None:
    """Give back a freeze on every app host; with `force` also the lease of a command that is gone.

    Raises: Failed, where a host refused; the others were released.
    """
    problem: Problem | None = None
    for name, result in _everywhere(fleet, _phase(fleet, "release", force=force), tell).items():
        if isinstance(result, Problem):
            problem = problem or result
        else:
            tell(Settled(name, f"released; it was held by {result.before}" if result.before else "was free"))
    if problem is not None:
        raise Failed(problem.message, problem.hint)


def _phase(
    fleet: Fleet, verb: Literal["status", "acquire", "release"], holder: Holder | None = None, *, force: bool = False
) -> Freeze:
    text = msgspec.json.encode(holder).decode() if holder else ""
    return Freeze(str(fleet.inventory.root), secrets.token_hex(16), verb, text, str(holder or ""), force)


def _everywhere(fleet: Fleet, phase: Freeze, tell: Tell) -> dict[str, Locked | Problem]:
    def one(host: Host) -> Locked:
        return fleet.run(host, phase, tell)

    return fleet.everywhere(Reach().hosts(fleet.inventory), one)
