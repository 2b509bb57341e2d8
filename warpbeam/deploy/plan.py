"""A rollout as data: which release goes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from warpbeam.deploy.preflight import check_memory
from warpbeam.deploy.strategy import STRATEGIES
from warpbeam.event import Emit, Note
from warpbeam.host.facts import About, HostFacts, Release
from warpbeam.inventory.schema import Host, Inventory

NAME = "%Y%m%dT%H%M%SZ"


class HostPlan(msgspec.Struct, frozen=True):
    """The plan of one host. `upload`: the host lacks the release; `activate`: the release is not live there yet.

    `about` is what the host keeps, or will keep, beside the release; `label` and `before` are for people;
    `before_release` is the name of the live release, and `slot` its slot, or empty. `stopped`: that does not run.
    """

    host: Host
    release: str
    about: About
    label: str
    before: str
    before_release: str
    slot: str
    upload: bool
    activate: bool
    stopped: bool


class Plan(msgspec.Struct, frozen=True):
    """A rollout: `why` is a word for the history; `migrate_on` are the hosts of the migrations."""

    why: Literal["deploy", "rollback", "restart"]
    label: str
    hosts: tuple[HostPlan, ...]
    migrate_on: tuple[Host, ...] = ()
    withdraw: bool = False

    @property
    def idle(self) -> bool:
        """True when the release is live on every host already."""
        return not any(step.activate for step in self.hosts)

    @property
    def unchanged(self) -> str:
        """Return in words what every host runs before any is switched; hosts that run the same are together."""
        where: dict[str, list[str]] = {}
        for step in self.hosts:
            where.setdefault(step.before, []).append(step.host.name)
        return "as before, " + "; ".join(f"{', '.join(names)}: {before}" for before, names in where.items())

    @property
    def for_hooks(self) -> dict[str, dict[str, str]]:
        """The variables that hooks get about each host, by the host's name."""
        return {
            step.host.name: {
                "RELEASE": step.release,
                "VERSION": step.about.version,
                "COMMIT": step.about.commit,
                "PREVIOUS": step.before_release,
            }
            for step in self.hosts
        }


def plan_host(host: Host, have: HostFacts, going: Release, *, upload: bool = False, activate: bool = True) -> HostPlan:
    """Return the plan of one host, which goes to the release `going`."""
    live = have.live_release
    return HostPlan(
        host=host,
        release=going.name,
        about=going.artifact,
        label=going.label,
        before=f"{live.name} {live.label}" if live else "nothing",
        before_release=live.name if live else "",
        slot=have.live if live else "",
        upload=upload,
        activate=activate,
        stopped=live is not None and not have.serving,
    )


def check_memory_of(inventory: Inventory, facts: Mapping[str, HostFacts], steps: Sequence[HostPlan]) -> None:
    """Check that hosts have memory for two instances, if these run side by side. Raises: Refused, where one has not."""
    if STRATEGIES[inventory.deploy.strategy].second_instance:
        for step in steps:
            if step.activate:
                check_memory(step.host.name, facts[step.host.name])


def emit_plan(plan: Plan, emit: Emit) -> None:
    """Emit one line for each host that will change: from which release to which."""
    for step in plan.hosts:
        if step.activate:
            goes = f"from {step.before} to" if step.before_release else "the first release here,"
            if step.release == step.before_release:
                goes = "is live, but stopped; starts"
            emit(Note(step.host.name, f"{plan.why}: {goes} {step.release} {step.label}"))
