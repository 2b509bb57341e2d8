"""Maintenance: the public port answers 503 with a page, whatever the app does, until it is turned off."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import msgspec

from warpbeam.deploy.history import ACTION_PARTS, action_entry
from warpbeam.deploy.lock import PARTS
from warpbeam.error import Failed, Misuse, Problem, restated
from warpbeam.event import SOCKETS, Emit, Note, Settled, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import Count, HttpStatus, OnOff, ReleaseName
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host

DEFAULT_MESSAGE = "We are working on this site, and will be back in a few minutes."
# Bytes of the longest message; the privileged helper checks the same limit.
LONGEST = 1000


class Shown(msgspec.Struct, frozen=True):
    """The answer of `Maintain`; `said`: what the public port answers; `left`: how many connections the app has."""

    verb: OnOff
    said: HttpStatus
    left: Count
    release: ReleaseName


# Seconds that the privileged helper waits for its lock.
LOCK_WAITED = 30


class Maintain(AppPhase[Shown], frozen=True, kw_only=True):
    """Turn maintenance on or off; the head of `warpbeam/operate/maintenance.sh` explains its fields."""

    script: ClassVar[str] = "operate/maintenance"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, *ACTION_PARTS, "host/http", "host/connections", "provision/owner")
    answer: ClassVar[type] = Shown
    helper: str
    verb: str
    message: str
    keep: bool
    public: int
    ports: tuple[int, ...]
    drain: int
    entry: tuple[str, ...]
    environment: str
    # Empty, because maintenance takes no deploy lock.
    token: str = ""

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`: on a bad day, one host that hangs must not hide the pages of the others."""
        return self.drain + LOCK_WAITED


def check_message(message: str) -> str:
    """Return `message` without spaces around it. Raises: Misuse, where it cannot be on the page."""
    text = message.strip()
    if not text:
        raise Misuse("--message is empty", "say what people shall read, or leave it out")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise Misuse("--message takes one line of text", "control characters are not shown")
    size = len(text.encode("utf-8", "surrogateescape"))
    if size > LONGEST:
        raise Misuse(f"--message has {size} bytes; expected at most {LONGEST}", "say it shorter")
    return text


def maintain(fleet: Fleet, verb: Literal["on", "off"], emit: Emit, message: str = "") -> dict[str, Shown]:
    """Turn maintenance on or off on every app host at once, and return what each serves now.

    Without a `message`, a page that is shown already keeps its text; a new page has DEFAULT_MESSAGE.

    Raises:
        Misuse: the message cannot be on the page; no host runs the app.
        Failed: a host could not do it, or serves something else all the same; the message names the others.
    """
    inventory = fleet.inventory
    public = _public_ports(fleet, emit)
    text = check_message(message or DEFAULT_MESSAGE) if verb == "on" else ""
    entry = action_entry(f"maintenance.{verb}")

    def maintain_host(host: Host) -> Shown:
        phase = Maintain(
            **app_parameters(inventory),
            helper=helper(inventory),
            verb=verb,
            message=text,
            keep=not message,
            public=public[host.name],
            ports=inventory.of(host).slot_ports(),
            drain=math.ceil(inventory.deploy.drain),
            entry=entry,
            environment=inventory.name,
        )
        return fleet.run(host, phase, emit)

    shown: dict[str, Shown] = {}
    problems: dict[str, Problem] = {}
    for name, result in fleet.everywhere([inventory.hosts[name] for name in public], maintain_host).items():
        if isinstance(result, Problem):
            problems[name] = result
            emit(Settled(name, result.reason, good=False))
            continue
        shown[name] = result
        said, good = sentence(result, public[name])
        emit(Settled(name, said, good=good))
        if result.left:
            what = "1 connection is" if result.left == 1 else f"{result.left} connections are"
            emit(Warn(name, f"{what} still open to the app after {inventory.deploy.drain:g} s ({SOCKETS})"))
        if not good:
            problems[name] = Failed(said, "`fab ENV firewall.status` shows where its public port leads", host=name)
    if problems:
        first = next(iter(problems.values()))
        rest = [name for name in shown if name not in problems]
        if rest:
            raise restated(first, Failed, f"; on {', '.join(rest)} maintenance is {verb}")
        raise first
    return shown


def _public_ports(fleet: Fleet, emit: Emit) -> dict[str, int]:
    """Return the public port of each app host that serves HTTP; the others have no page. Raises: Misuse."""
    hosts = fleet.inventory.some_app_hosts()
    ports = {host.name: port for host in hosts if (port := fleet.inventory.of(host).http.port) is not None}
    for host in hosts:
        if host.name not in ports:
            emit(Note(host.name, "serves no HTTP (`http: none`), so that it has no maintenance page"))
    if not ports:
        raise Misuse("no chosen host serves HTTP, so that none has a maintenance page", "see -H, and `http: none`")
    return ports


def sentence(shown: Shown, public: int) -> tuple[str, bool]:
    """Return in words what a host serves now, and whether that is what the user asked for."""
    said = "does not answer" if shown.said == "no answer" else f"answers {shown.said}"
    if shown.verb == "on":
        good = shown.said == "503"
        return f"maintenance is on, port {public} {said}" + ("" if good else "; expected 503"), good
    if not shown.release:
        return "maintenance is off, nothing is live", True
    good = shown.said != "no answer"
    return f"maintenance is off, port {public} leads to {shown.release} and {said}", good
