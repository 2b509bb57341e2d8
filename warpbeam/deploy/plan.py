"""A rollout as data: which release goes where, worked out from facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.deploy.preflight import check_compatibility, check_helper, check_memory
from warpbeam.deploy.strategy import STRATEGIES
from warpbeam.error import Refused
from warpbeam.event import Emit, Note
from warpbeam.host.facts import About, HostFacts, Release, about
from warpbeam.inventory.schema import Host, Inventory

NAME = "%Y%m%dT%H%M%SZ"
# Marks of a release that was live, and whose last activation did not fail.
BEEN_LIVE = ("healthy", "withdrawn")


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
    """A rollout: `why` is a word for the history; `migrate_on` is the host of the migrations, or None."""

    why: Literal["deploy", "rollback", "restart"]
    label: str
    hosts: tuple[HostPlan, ...]
    migrate_on: Host | None = None
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


def plan_deploy(
    inventory: Inventory,
    facts: Mapping[str, HostFacts],
    artifact: Artifact,
    now: datetime,
    *,
    force: bool,
    migrate: bool,
    name: str = "",
) -> Plan:
    """Return the plan that puts `artifact` live. Pure.

    Parameters:
        now: UTC; becomes the release's name, unless a host has a newer one (a clock may have been ahead).
        force: put the artifact live again where it is live already.
        name: the release's name on hosts that are not in `facts`, or empty.

    Raises:
        Refused: a host cannot run the artifact, or has no room for it.
    """
    for host_name, have in facts.items():
        check_compatibility(host_name, have, artifact)
    same = {host_name: _live_of(have, artifact) for host_name, have in facts.items()}
    # A host that was left out of an earlier, broken deploy gets the name that the other hosts have. A host that runs
    # the artifact already keeps its release, under any name.
    names = {found for found in (*same.values(), name) if found}
    newest = _newest(facts, now)
    fresh = max(now.strftime(NAME), _after(newest)) if newest else now.strftime(NAME)
    shared = max(names, default="")
    asked = about(artifact)
    # One source may belong to several commits. All hosts get the commit that the hosts with this release have.
    kept = next((it for have in facts.values() if (it := _said_of(have, shared)) and _same(it, asked)), asked)
    steps = []
    hosts = [host for host in inventory.app_hosts if host.name in facts]
    for host in hosts:
        have = facts[host.name]
        live = have.live_release
        release = fresh
        if not force and same[host.name]:
            release = same[host.name]
        elif not force and shared and _may_take(have, shared, artifact):
            release = shared
        there = have.find(release)
        going = there or Release(release, "new", kept if release == shared else asked)
        activate = force or live is None or live.name != release or not have.serving
        step = _step(host, have, going, upload=there is None, activate=activate)
        steps.append(msgspec.structs.replace(step, label=step.label + same_source(going.artifact, asked)))
    runs = migrate and inventory.deploy.migrate is not None and any(step.activate for step in steps)
    target = next((host for host in hosts if host == inventory.migrate_host), hosts[0]) if runs else None
    _check_memory(inventory, facts, steps)
    labels = {step.label for step in steps}
    return Plan("deploy", labels.pop() if len(labels) == 1 else artifact.label, tuple(steps), migrate_on=target)


def _check_memory(inventory: Inventory, facts: Mapping[str, HostFacts], steps: Sequence[HostPlan]) -> None:
    """Check that hosts have memory for two instances, if these run side by side. Raises: Refused, where one has not."""
    if STRATEGIES[inventory.deploy.strategy].second_instance:
        for step in steps:
            if step.activate:
                check_memory(step.host.name, facts[step.host.name])


def same_source(kept: About, asked: About) -> str:
    """Return `, same source as COMMIT` where a host keeps the release as of another commit than `asked`; else empty."""
    return "" if kept.short_commit == asked.short_commit else f", same source as {asked.short_commit}"


def _step(host: Host, have: HostFacts, going: Release, *, upload: bool = False, activate: bool = True) -> HostPlan:
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


def _live_of(have: HostFacts, artifact: Artifact) -> str:
    live = have.live_release
    return live.name if live is not None and live.artifact.sha256 == artifact.manifest.sha256 else ""


def _may_take(have: HostFacts, name: str, artifact: Artifact) -> bool:
    """Return whether a host may get a release of that name: it would be the newest, or is there with this content."""
    there = have.find(name)
    if there is not None:
        # Also a release that failed here: the same command again tries it again.
        return there.artifact.sha256 == artifact.manifest.sha256
    return all(release.name < name for release in have.releases)


def _after(name: str) -> str:
    return (datetime.fromisoformat(name) + timedelta(seconds=1)).strftime(NAME)


def _newest(facts: Mapping[str, HostFacts], now: datetime) -> str:
    """Return the name of the newest release; a new release gets a later one, on every host.

    Raises: Refused, where no name can be later, or one host alone would have all take a name more than a day ahead.
    """
    newest = {host: max(release.name for release in have.releases) for host, have in facts.items() if have.releases}
    limit = (now + timedelta(days=1)).strftime(NAME)
    for host, name in newest.items():
        if not _has_after(name):
            raise Refused(
                f"its newest release is called {name}, after which no time can come", _look_there(host), host=host
            )
        if name > limit and min(newest.values()) <= limit:
            raise Refused(
                f"its newest release is {name}, more than a day ahead of this machine's clock",
                f"{_look_there(host)}, and -H {host} deploys to it alone",
                host=host,
            )
    return max(newest.values(), default="")


def _look_there(host: str) -> str:
    return (
        f"is a clock wrong, or was it put there? `fab ENV releases` shows it; `--skip {host}` leaves that host as it is"
    )


def _has_after(name: str) -> bool:
    try:
        return len(_after(name)) == len(name)
    except (ValueError, OverflowError):
        return False


def _said_of(have: HostFacts, name: str) -> About | None:
    there = have.find(name)
    return there.artifact if there else None


def _same(kept: About, asked: About) -> bool:
    """Return whether both are the same source and the same files, under whatever commit."""
    return (
        (kept.version, kept.tree, kept.sha256) == (asked.version, asked.tree, asked.sha256)
        and kept.release in ("", asked.release)
        and bool(kept.commit)
    )


def plan_rollback(inventory: Inventory, facts: Mapping[str, HostFacts], to: str) -> Plan:
    """Return the plan that rolls every host back to its previous release, or to `to` (a name, version or commit). Pure.

    Raises:
        Refused: a host has no such release or another privileged helper, or hosts would go to different releases.
    """
    targets: dict[str, str] = {}
    for name, have in facts.items():
        check_helper(name, have)
        target = _named(have, to, name) if to else have.previous
        if not target:
            raise _no_way_back(name, have)
        targets[name] = target
    if len(set(targets.values())) > 1:
        summary = ", ".join(f"{name} to {target}" for name, target in targets.items())
        raise Refused(f"hosts would go back to different releases: {summary}", _together(facts, set(targets.values())))
    steps = []
    for host in inventory.app_hosts:
        if host.name not in targets:
            continue
        have = facts[host.name]
        release = have.find(targets[host.name])
        if release is None:
            raise Refused(
                f"the release to go back to, {targets[host.name]}, is none of those that it says it has",
                f"look at what lies there; `--skip {host.name}` leaves this host as it is",
                host=host.name,
            )
        steps.append(_step(host, have, release, activate=have.live_release != release))
    _check_memory(inventory, facts, steps)
    return Plan("rollback", steps[0].label, tuple(steps), withdraw=True)


def _together(facts: Mapping[str, HostFacts], targets: set[str]) -> str:
    """Return how hosts can go back together: to the newest of `targets` that was live on each of them.

    After a rollout that was broken off, this is the release on the hosts that it did not reach.
    """
    for target in sorted(targets, reverse=True):
        there = [found for have in facts.values() if (found := have.find(target)) and found.mark in BEEN_LIVE]
        if len(there) == len(facts):
            run = [name for name, have in facts.items() if have.live_release in there]
            already = f", which {', '.join(run)} {'runs' if len(run) == 1 else 'run'} already" if run else ""
            return f"`fab ENV rollback --to {target}` takes all of them to {there[0].label}{already}"
    return "none of these has been live on every host: see `fab ENV releases`, and go host by host with -H and --to"


def _no_way_back(name: str, have: HostFacts) -> Refused:
    live = have.live_release
    others = [release for release in reversed(have.releases) if release != live]
    been_live = [release for release in others if release.mark in BEEN_LIVE]
    if not been_live:
        return Refused(
            "there is no release to go back to",
            f"`fab ENV releases` shows what there is; `--skip {name}` leaves this host as it is",
            host=name,
        )
    if all(release.mark == "withdrawn" for release in been_live):
        why = "the others were rolled back from"
    else:
        why = "none before the live one has been live without being rolled back from or failing since"
    summary = tuple(
        f"{name}: {release.name} {release.label}{', rolled back from' if release.mark == 'withdrawn' else ''}"
        for release in been_live
    )
    # Do not propose the newest release that was rolled back from: somebody has just left it.
    good = next((release for release in been_live if release.is_good), None)
    if good is not None:
        hint = f"`fab ENV rollback --to {good.name}` goes to {good.label}, which is newer and was not rolled back from"
    else:
        hint = "`fab ENV deploy --ref COMMIT` puts out another; `fab ENV rollback --to RELEASE` goes to one of these"
    return Refused(f"there is no release to go back to: {why}", hint, summary, host=name)


def _named(have: HostFacts, to: str, host: str) -> str:
    fits = [
        release
        for release in have.releases
        if to in (release.name, release.artifact.version) or (len(to) >= 7 and release.artifact.commit.startswith(to))
    ]
    if not fits:
        known = ", ".join(release.name for release in have.releases) or "none"
        raise Refused(f"there is no release {to!r}", f"it has: {known}", host=host)
    # A version or commit may have been deployed more than once: prefer what was live and was not rolled back from.
    return max(fits, key=lambda release: (*(release.mark == mark for mark in BEEN_LIVE), release.name)).name


def plan_restart(inventory: Inventory, facts: Mapping[str, HostFacts]) -> Plan:
    """Return the plan that restarts what is live on every host. Pure.

    Raises:
        Refused: nothing is live on a host, or it has another privileged helper.
    """
    steps = []
    for host in (host for host in inventory.app_hosts if host.name in facts):
        check_helper(host.name, facts[host.name])
        live = facts[host.name].live_release
        if live is None:
            raise Refused("nothing is live", "deploy first", host=host.name)
        steps.append(_step(host, facts[host.name], live))
    _check_memory(inventory, facts, steps)
    return Plan("restart", steps[0].label, tuple(steps))


def emit_plan(plan: Plan, emit: Emit) -> None:
    """Emit one line for each host that will change: from which release to which."""
    for step in plan.hosts:
        if step.activate:
            goes = f"from {step.before} to" if step.before_release else "the first release here,"
            if step.release == step.before_release:
                goes = "is live, but stopped; starts"
            emit(Note(step.host.name, f"{plan.why}: {goes} {step.release} {step.label}"))
