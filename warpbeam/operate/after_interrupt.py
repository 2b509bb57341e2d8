"""The aftermath of an interrupt: what each host runs now, and what to do next."""

from __future__ import annotations

from warpbeam.deploy.lock import look
from warpbeam.error import Problem
from warpbeam.event import Emit, Event, Note, Settled, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.facts import HostFacts

# Phases that may change what a host runs, or what its database holds.
CHANGING = frozenset({"migrate", "activate"})


def emit_after_interrupt(fleet: Fleet, emit: Emit) -> None:
    """Report after an interrupt, in one line for each host, what it runs, or that its activation goes on by itself.

    Only hosts are asked where a phase that could change them began, and where no `cancel` reported its end.
    """
    touched = {name for name, script in fleet.activity.phases if script in CHANGING}
    if not touched:
        emit(Note("", "nothing was switched on any host"))
        return
    ended = {name for (name, script), answered in fleet.activity.phases.items() if script == "cancel" and answered}
    hosts = list(fleet.inventory.app_hosts)
    asked = look(fleet, [host for host in hosts if host.name in touched - ended], silent)
    for name, found in asked.items():
        emit(_after_interrupt(name, found))
    if others := [host.name for host in hosts if host.name not in touched]:
        emit(Note("", f"not touched: {', '.join(others)}"))
    emit(Note("", "next: `fab ENV status` shows what runs; the same command again goes on from there"))


def _after_interrupt(name: str, found: HostFacts | Problem) -> Event:
    if isinstance(found, Problem):
        return Warn(name, f"what it runs now is unknown: {found.reason}")
    if found.activating:
        text = "its activation goes on there by itself, with nobody watching; `fab ENV status` shows how it ends"
        return Settled(name, text, good=False)
    live = found.live_release
    return Settled(name, f"runs {live.name} {live.label}" if live else "nothing is live there")
