"""The running instance: its status, its releases, and access to its node (console, rpc, eval)."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, ClassVar

import msgspec

from warpbeam.deploy.lock import PARTS
from warpbeam.error import AMISS, DONE, Failed, Misuse, Problem, Refused, addressed
from warpbeam.event import Emit, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import gravest_problem
from warpbeam.helper.program import MOST_EXPRESSION, helper
from warpbeam.host.answer import FEW, MANY, LiveSlot, ReleaseName, SlotName, Text
from warpbeam.host.facts import HelperAnswer, Holder, Instance, Release, named, sifted
from warpbeam.host.health import HEALTH_PARTS, HealthPhase, health_parameters
from warpbeam.host.login_output import Beginning, not_begun
from warpbeam.host.phase import READER, Phase, render
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.limit import Breach
from warpbeam.network.cluster import Links, mates, node_ports, seen_hosts
from warpbeam.operate.backtrace import Backtrace

# Seconds that an instance must have run since it last ended by itself, before it counts as healthy again.
CALM = 60


class AppStatus(msgspec.Struct, frozen=True):
    """The answer of `ReadStatus`: what a host runs; `helper` is the privileged helper's own answer."""

    helper: HelperAnswer
    live: LiveSlot
    slots: Annotated[dict[SlotName, ReleaseName], FEW]
    health: Text
    releases: Annotated[tuple[Release, ...], MANY]
    lock: Holder | None
    links: Links = ()

    @property
    def running(self) -> Instance | None:
        """The live instance; None where nothing is live, or where the live slot has no process."""
        instance = self.helper.slots.get(self.live)
        return instance if instance is not None and instance.pid else None

    @property
    def live_release(self) -> Release | None:
        """The release that `current` leads to, or None if it does not exist."""
        return named(self.releases, self.slots.get(self.live, ""))

    @property
    def trouble(self) -> str:
        """The problem of the live instance; empty if it runs, is healthy, and was not restarted by systemd."""
        if self.verdict != "healthy":
            return self.verdict or "nothing is live"
        instance = self.helper.slots.get(self.live)
        if instance is not None and instance.restarts == 0:
            return ""
        return "it ended by itself, and systemd started it again"

    @property
    def crashing(self) -> str:
        """A sentence on recent crashes of the live instance; empty if it had none, or has run for a minute since."""
        instance = self.helper.slots.get(self.live, Instance())
        waits = instance.substate == "auto-restart"
        # systemd counts a restart only when it begins, so add the one that it waits for.
        times = instance.restarts + waits
        if times == 0 or (not waits and (instance.age is None or instance.age >= CALM)):
            return ""
        last = "" if instance.ended_ago is None else f", last {instance.ended_ago} s ago"
        return f"it ended by itself {'once' if times == 1 else f'{times} times'}{last}"

    @property
    def verdict(self) -> str:
        """`healthy`, or what is wrong; empty if nothing is live. An instance that crashes is unhealthy in any case."""
        if not self.crashing:
            return self.health
        return self.crashing if self.health == "healthy" else f"{self.crashing}; {self.health}"


class ReadStatus(HealthPhase[AppStatus], frozen=True, kw_only=True):
    """Read what is running; the head of `warpbeam/operate/status.sh` explains its fields."""

    script: ClassVar[str] = "operate/status"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *HEALTH_PARTS, "network/links")
    answer: ClassVar[type] = AppStatus
    token: str = ""
    node_ports: tuple[int, ...] = ()

    sift = staticmethod(sifted)

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return self.health_timeout


class CallHelper(Phase[None], frozen=True, kw_only=True):
    """Run a verb of the helper whose answer is text; the head of `warpbeam/operate/converse.sh` explains its fields."""

    script: ClassVar[str] = "operate/converse"
    parts: ClassVar[tuple[str, ...]] = ()
    helper: str
    verb: str
    input: str


def states(fleet: Fleet, emit: Emit) -> Mapping[str, AppStatus | Problem]:
    """Return what every app host runs, or the problem that kept us from learning it."""
    phase = read_status(fleet)
    return fleet.everywhere(fleet.inventory.some_app_hosts(), lambda host: fleet.run(host, phase, emit))


def read_status(fleet: Fleet) -> ReadStatus:
    """Return the phase that asks a host of the fleet for its `AppStatus`."""
    return ReadStatus(**health_parameters(fleet.inventory), node_ports=node_ports(fleet.inventory))


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
    return rows


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


def differing(found: Mapping[str, AppStatus | Problem]) -> str:
    """Return a sentence on the live release of each host if these differ; else empty."""
    where: dict[str, list[str]] = {}
    for host, state in found.items():
        if isinstance(state, AppStatus) and state.live_release is not None:
            where.setdefault(state.live_release.label, []).append(host)
    if len(where) < 2:
        return ""
    return "hosts run different releases: " + "; ".join(f"{label} on {', '.join(on)}" for label, on in where.items())


def judged(found: Mapping[str, AppStatus | Problem]) -> int:
    """Return the exit code of `status`, for programs that watch it.

    AMISS if something is known to be wrong (nothing live, not running, unhealthy). It precedes the code of a host that
    is unreachable or not set up. Maintenance and a second instance are no faults: a person or a deploy wants them.
    """
    answers = [state for state in found.values() if isinstance(state, AppStatus)]
    if any(state.verdict != "healthy" for state in answers):
        return AMISS
    return max((state.code for state in found.values() if isinstance(state, Problem)), default=DONE)


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


def release_rows(fleet: Fleet) -> list[dict[str, Any]]:
    """Return one row for each release of each host, newest first."""
    rows: list[dict[str, Any]] = []
    for host, state in states(fleet, silent).items():
        if isinstance(state, Problem):
            rows.append({"host": host, "problem": state.reason})
            continue
        live = state.slots.get(state.live, "")
        rows += [
            {
                "host": host,
                "release": release.name,
                "version": release.artifact.version,
                "commit": release.artifact.short_commit,
                "state": "live" if release.name == live else release.mark,
                "subject": release.artifact.subject,
            }
            for release in reversed(state.releases)
        ]
    return rows


def one_host(fleet: Fleet, name: str) -> Host:
    """Return the app host of that name, or the first for an empty one. Raises: Misuse, where no app host has it."""
    hosts = fleet.inventory.some_app_hosts()
    for host in hosts:
        if not name or host.name == name:
            return host
    raise Misuse(f"--host {name}: there is no such app host", f"there is: {', '.join(host.name for host in hosts)}")


def call_helper(
    fleet: Fleet,
    host: Host,
    verb: str,
    text: str,
    on_stdout: Callable[[bytes], None],
    on_stderr: Callable[[bytes], None],
    *,
    follow: bool = False,
) -> int:
    """Give `text` to a verb of the privileged helper, pass on what it prints, and return its exit status.

    Raises: Refused, where the login did not run the script.
    """
    phase = CallHelper(helper=helper(fleet.inventory), verb=f"{verb}-follow" if follow else verb, input=text)
    shell, sent = fleet.shell(host), render(phase)
    # The login's own output is no part of the answer.
    beginning = Beginning(on_stdout)
    try:
        status = shell.execute(READER, _kept_open(sent, follow), beginning, on_stderr)
    except Breach as breach:
        if beginning.found:
            raise
        raise Refused(f"{breach}; it was ended", "nothing was done there", host=host.name) from None
    if not beginning.found:
        raise not_begun(shell, status, beginning.noise(sent))
    return status


def _kept_open(script: bytes, follow: bool) -> Iterator[bytes]:
    """Yield the script; with `follow`, then wait for as long as this process lives, so that the host sees its end."""
    yield script
    if follow:
        import threading

        threading.Event().wait()


def console_argv(fleet: Fleet, host: Host) -> list[str]:
    """Return the command line of a console on the running node of `host`.

    With a terminal it is IEx. Without one, standard input is evaluated on the node and its value printed: IEx itself
    would then ignore the node that it was given, and on OTP 27 take the node down at the end of its input.
    """
    from warpbeam.ssh.connection import Connection, openssh_argv

    terminal = os.isatty(0)
    command = ["sudo", "-n", "--", helper(fleet.inventory), "console" if terminal else "rpc"]
    shell = fleet.shell(host)
    return openssh_argv(shell, command, tty=terminal) if isinstance(shell, Connection) else command


def logs_input(count: int | None, since: str, pattern: str, slot: str, *, follow: bool) -> str:
    """Return the input of the privileged helper's `logs`. Raises: Misuse, where an argument has an invalid value."""
    if slot not in ("", "a", "b"):
        raise Misuse(f"--slot {slot}: expected a or b")
    if "\n" in since + pattern or max(len(since), len(pattern)) > 250:
        raise Misuse("--since and --grep take one line of at most 250 characters")
    return "\n".join([str(count) if count is not None else "", since, pattern, slot, "yes" if follow else "no", ""])


def read_expression(word: str, stdin: BinaryIO) -> str:
    """Return the expression: `word`, or what `stdin` has if `word` is `-`.

    Raises: Misuse, where `stdin` has more than the privileged helper takes, or no text.
    """
    if word != "-":
        return word
    # One byte more shows that there is more, without a wait for an input that never ends.
    given = stdin.read(MOST_EXPRESSION + 1)
    if len(given) > MOST_EXPRESSION:
        raise Misuse(
            f"expected an expression of at most {MOST_EXPRESSION} bytes on standard input, and there is more",
            "put the data where the app can read it, and have the expression read it there",
        )
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        raise Misuse(f"expected UTF-8 on standard input, found something else at byte {error.start}") from None


def evaluate(
    fleet: Fleet,
    hosts: list[Host],
    verb: str,
    expression: str,
    show: Callable[[str, bytes], None],
    complain: Callable[[str, bytes], None],
) -> None:
    """Evaluate an expression by `rpc` or `eval` on each host, at once, and show what it prints as it comes.

    A node that hangs delays the end of the command, but not the output of the other hosts.

    Parameters:
        complain: shows what a host prints on standard error.

    Raises:
        Failed: the expression raised on a host, or the node is not there; `code` is the highest exit status of a host.
    """

    def say(host: str, line: bytes) -> None:
        text = addressed(line.decode("utf-8", "surrogateescape"), fleet.inventory.name)
        complain(host, text.encode("utf-8", "surrogateescape"))

    def one(host: Host) -> None:
        on_stderr = Backtrace(functools.partial(say, host.name))
        status = call_helper(fleet, host, verb, expression, functools.partial(show, host.name), on_stderr)
        on_stderr.end()
        if status != 0:
            failed = Failed(f"{verb} ended with status {status}", "what it said is above", host=host.name)
            failed.code = status
            raise failed

    results = fleet.everywhere(hosts, one)
    if gravest := gravest_problem(results):
        others = (result for result in results.values() if isinstance(result, Problem) and result is not gravest)
        gravest.details = (*gravest.details, *(other.message for other in others))
        raise gravest
