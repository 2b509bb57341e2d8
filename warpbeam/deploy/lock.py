"""The deploy lock: on every host of a deploy or on none, a lease that a killed `fab` cannot leave behind for long."""

from __future__ import annotations

import contextlib
import getpass
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import msgspec

from warpbeam.deploy.strategy import STRATEGIES
from warpbeam.error import Held, Problem, Unreachable, untouched
from warpbeam.event import Emit, Note, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.helper.program import helper, suspects_file
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.facts import Holder, HostFacts, sifted
from warpbeam.host.phase import Done, Phase
from warpbeam.inventory.schema import Host, Inventory

# Seconds of a host's own uptime. A `fab` that was killed blocks others no longer than this.
LEASE_SECONDS = 90
RENEW_EVERY = 25.0
# Seconds between two notes to a user who waits for somebody else's lock.
NOTE_EVERY = 30.0

# Seconds, beyond `ssh: answer_timeout`, in which a host takes a lock and answers with its facts: it may wait for
# another command (`guard` in warpbeam/deploy/lock.sh), mend `current`, and receive the manifest over a slow line.
CLAIMING = 120.0
# The same for giving a lock back, and for renewing it.
GUARDED = 30.0

PARTS = ("host/common", "deploy/lock", "host/layout")

A = TypeVar("A")


class LockedPhase(AppPhase[A], frozen=True, kw_only=True):
    """A phase that takes the deploy lock or needs it: the lease's `token`, and the seconds of the `lease`."""

    token: str
    lease: int


def locked_parameters(inventory: Inventory, token: str) -> dict[str, Any]:
    """Return the values of the fields of `LockedPhase`."""
    return {**app_parameters(inventory), "token": token, "lease": LEASE_SECONDS}


class Claim(LockedPhase[HostFacts], frozen=True, kw_only=True):
    """Take the lock (or, without `take`, only look) and gather facts.

    The head of `warpbeam/deploy/claim.sh` explains its fields.
    """

    script: ClassVar[str] = "deploy/claim"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, "deploy/result", "deploy/history", "provision/owner", "deploy/suspect")
    answer: ClassVar[type] = HostFacts
    helper: str
    text: str
    words: str
    take: bool
    weigh: bool
    environment: str
    suspects: str

    sift = staticmethod(sifted)

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return not self.take

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return CLAIMING if self.take else None


class Unlock(Phase[Done], frozen=True, kw_only=True):
    """Give the lock back if it is ours."""

    script: ClassVar[str] = "deploy/unlock"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "deploy/lock")
    answer: ClassVar[type] = Done
    root: str
    token: str

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return GUARDED


class Renew(Phase[Done], frozen=True, kw_only=True):
    """Make the lock last another `lease` seconds."""

    script: ClassVar[str] = "deploy/renew"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "deploy/lock")
    answer: ClassVar[type] = Done
    root: str
    token: str
    lease: int

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return GUARDED


class Lease(msgspec.Struct, frozen=True):
    """A lease of the deploy lock on several hosts, and the facts that each host answered with.

    `given_back` are the hosts that have taken the lock back already, with the last phase of a rollout
    (`warpbeam.deploy.finish` fills it).
    """

    token: str
    holder: Holder
    facts: Mapping[str, HostFacts]
    given_back: set[str] = msgspec.field(default_factory=set)


# Runs a claim on one host; returns its facts.
RunClaim = Callable[[Fleet, Host, Claim, Emit], HostFacts]


def run_claim(fleet: Fleet, host: Host, phase: Claim, emit: Emit) -> HostFacts:
    """Run `phase` on `host` and return its facts. Raises what `fleet.run` raises."""
    return fleet.run(host, phase, emit)


def look(fleet: Fleet, hosts: Sequence[Host], emit: Emit) -> dict[str, HostFacts | Problem]:
    """Return every host's facts, or its problem, without taking a lock."""
    return fleet.everywhere(hosts, lambda host: run_claim(fleet, host, _claim(fleet, "", None), emit))


def ready_facts(fleet: Fleet, selection: HostSelection) -> dict[str, HostFacts]:
    """Return the facts of the app hosts of `selection` on which a rollout could begin.

    Raises: Refused, where a host cannot be reached or is not set up.
    """
    found = look(fleet, selection.hosts(fleet.inventory), silent)
    selection.check(found)
    return {name: have for name, have in found.items() if isinstance(have, HostFacts)}


def check_free(fleet: Fleet) -> None:
    """Check that the lock of every chosen app host is free, before work that needs it later. Raises: Held, Refused."""
    selection = HostSelection()
    found = look(fleet, selection.hosts(fleet.inventory), silent)
    held = {
        name: Held(f"the deploy lock is held by {facts.lock}", "`fab ENV lock.status` shows it", host=name)
        for name, facts in found.items()
        if isinstance(facts, HostFacts) and facts.lock is not None
    }
    selection.check({**found, **held})


@contextlib.contextmanager
def holding(
    fleet: Fleet,
    selection: HostSelection,
    why: str,
    emit: Emit,
    *,
    version: str = "",
    claim: RunClaim = run_claim,
) -> Iterator[Lease]:
    """Hold the lock on all app hosts of `selection`, or raise and hold none; give it back at the end.

    Parameters:
        why: what the lock is for, in a word.
        version: the version or release that goes live, for people.
        claim: runs the claim on one host, in a thread of that host; may send a body and use the answer at once.

    Raises:
        Refused: a host cannot be reached, is not set up, or somebody else holds its lock; nothing was changed.
    """
    token = secrets.token_hex(16)
    holder = this_user(why, version)
    hosts = selection.hosts(fleet.inventory)
    lease = Lease(token, holder, {})
    ended = threading.Event()
    # The hosts that may hold a lock for us: after an interrupt in the middle of the claims, any of them.
    held = hosts
    try:
        try:
            facts = _claim_all(fleet, selection, hosts, _claim(fleet, token, holder), claim, emit)
        except Problem:
            # `_claim_all` has given every lock back.
            held = []
            raise
        lease = msgspec.structs.replace(lease, facts=facts)
        held = [host for host in hosts if host.name in facts]
        for host in held:
            # A thread for each: a host that has stopped answering must not delay the renewal on the others.
            threading.Thread(target=_renew, args=(fleet, host, token, ended), name="renew", daemon=True).start()
        yield lease
    finally:
        ended.set()
        _let_go(fleet, [host for host in held if host.name not in lease.given_back], token)
        left_out = [host.name for host in fleet.inventory.app_hosts if host.name not in lease.facts]
        if lease.facts and left_out:
            emit(Warn("", f"left as they are: {', '.join(left_out)}"))


def _claim_all(
    fleet: Fleet,
    selection: HostSelection,
    hosts: Sequence[Host],
    phase: Claim,
    claim: RunClaim,
    emit: Emit,
) -> dict[str, HostFacts]:
    """Take the lock on every host and return their facts; `selection` says how long to wait, and what to leave out.

    Raises: Refused, and then no lock is held.
    """
    until = time.monotonic() + selection.wait
    last_note, note_again = "", 0.0
    while True:
        results = fleet.everywhere(hosts, lambda host: claim(fleet, host, phase, emit))
        problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
        away = {name for name, problem in problems.items() if isinstance(problem, Unreachable)}
        if selection.skip_unreachable and len(away) < len(hosts):
            for name in away:
                emit(Warn("", f"{problems.pop(name).message}: left out"))
        if not problems:
            return {name: result for name, result in results.items() if isinstance(result, HostFacts)}
        # Hold no lock while waiting, so that two commands never wait for each other.
        hosts = [host for host in hosts if host.name not in away]
        _let_go(fleet, hosts, phase.token)
        left = until - time.monotonic()
        if left <= 0 or not all(isinstance(problem, Held) for problem in problems.values()):
            raise untouched(problems)
        first = next(iter(problems.values()))
        if first.message != last_note or time.monotonic() >= note_again:
            last_note, note_again = first.message, time.monotonic() + NOTE_EVERY
            emit(Note("", f"{last_note}; waiting for it, {left:.0f} s more at most"))
        # Wait a random time, so that two commands do not collide at every try.
        time.sleep(min(left, random.uniform(1, 3)))  # noqa: S311 (no secret)


def _let_go(fleet: Fleet, hosts: Sequence[Host], token: str) -> None:
    """Give the locks back; on a host that does not receive this, the lease ends by itself."""
    with contextlib.suppress(Problem):
        phase = Unlock(root=str(fleet.inventory.root), token=token)
        fleet.everywhere(hosts, lambda host: fleet.run(host, phase, silent))


def this_user(why: str, version: str) -> Holder:
    """Return the holder that other users see: this user and machine."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Holder(who=f"{getpass.getuser()}@{socket.gethostname()}", why=why, since=since, version=version)


def _claim(fleet: Fleet, token: str, holder: Holder | None) -> Claim:
    """Return the phase that takes the lock for `holder`; without a holder it only looks."""
    inventory = fleet.inventory
    text = msgspec.json.encode(holder).decode() if holder else ""
    words = str(holder) if holder else ""
    return Claim(
        **locked_parameters(inventory, token),
        helper=helper(inventory),
        text=text,
        words=words,
        take=holder is not None,
        # Only two instances that run side by side have to share the memory.
        weigh=STRATEGIES[inventory.deploy.strategy].second_instance,
        environment=inventory.name,
        suspects=suspects_file(inventory),
    )


def _renew(fleet: Fleet, host: Host, token: str, ended: threading.Event) -> None:
    """Keep the lease from running out; the next phase notices a failure, because it checks whose lock it is."""
    phase = Renew(root=str(fleet.inventory.root), token=token, lease=LEASE_SECONDS)
    while not ended.wait(RENEW_EVERY):
        with contextlib.suppress(Problem):
            fleet.run(host, phase, silent)
