"""The plan of a deploy, worked out from facts alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.deploy.fitting import Artifacts
from warpbeam.deploy.plan import NAME, Plan, check_memory_of, plan_host
from warpbeam.deploy.preflight import check_compatibility
from warpbeam.error import Problem, Refused, untouched
from warpbeam.host.facts import About, HostFacts, Release, about
from warpbeam.inventory.schema import Inventory


def plan_deploy(
    inventory: Inventory,
    facts: Mapping[str, HostFacts],
    artifacts: Artifacts,
    now: datetime,
    *,
    force: bool,
    migrate: bool,
    name: str = "",
) -> Plan:
    """Return the plan that puts each host's artifact live. Pure.

    Parameters:
        now: UTC; becomes the release's name, unless a host has a newer one (a clock may have been ahead).
        force: put an artifact live again where it is live already.
        name: the release's name on hosts that are not in `facts`, or empty.

    Raises:
        Refused: a host cannot run its artifact, has no room for it, or is of another kind than when it was chosen.
    """
    _check_each(facts, artifacts)
    same = {host_name: _live_of(have, artifacts.of(host_name)) for host_name, have in facts.items()}
    # A host that was left out of an earlier, broken deploy gets the name that the other hosts have. A host that runs
    # the artifact already keeps its release, under any name.
    names = {found for found in (*same.values(), name) if found}
    newest = _newest(facts, now)
    fresh = max(now.strftime(NAME), _after(newest)) if newest else now.strftime(NAME)
    shared = max(names, default="")
    asked = {host_name: about(artifacts.of(host_name)) for host_name in facts}
    # One source may belong to several commits. All hosts get the commit that the hosts with this release have.
    kept = _kept(facts, shared, asked)
    steps = []
    hosts = [host for host in inventory.app_hosts if host.name in facts]
    for host in hosts:
        have = facts[host.name]
        live = have.live_release
        release = fresh
        if not force and same[host.name]:
            release = same[host.name]
        elif not force and shared and _may_take(have, shared, artifacts.of(host.name)):
            release = shared
        there = have.find(release)
        going = there or Release(release, "new", _as_kept(asked[host.name], kept if release == shared else None))
        activate = force or live is None or live.name != release or not have.serving
        step = plan_host(host, have, going, upload=there is None, activate=activate)
        steps.append(msgspec.structs.replace(step, label=step.label + same_source(going.artifact, asked[host.name])))
    # Only hosts that get the release have its migrations.
    changed = [step.host for step in steps if step.activate]
    migrate_on = inventory.migrate_hosts(hosts) if migrate and changed else ()
    check_memory_of(inventory, facts, steps)
    labels = {step.label for step in steps}
    return Plan("deploy", labels.pop() if len(labels) == 1 else artifacts.label, tuple(steps), migrate_on=migrate_on)


def _check_each(facts: Mapping[str, HostFacts], artifacts: Artifacts) -> None:
    """Check that each host can run its artifact. Raises: Refused, which names all hosts that cannot."""
    problems: dict[str, Problem] = {}
    for name, have in facts.items():
        try:
            artifacts.check(name, have)
            check_compatibility(name, have, artifacts.of(name))
        except Problem as problem:
            problems[name] = problem
    if problems:
        raise next(iter(problems.values())) if len(problems) == 1 else untouched(problems)


def _kept(facts: Mapping[str, HostFacts], name: str, asked: Mapping[str, About]) -> About | None:
    """Return what a host says of its release `name`, where that is what the host is to get, under any commit."""
    said = {host: there for host, have in facts.items() if (there := _said_of(have, name))}
    return next((there for host, there in said.items() if _same(there, asked[host])), None)


def _as_kept(asked: About, kept: About | None) -> About:
    """Return `asked` as of the commit of `kept`, where another host keeps that; its files may be of another kind."""
    if kept is None:
        return asked
    return msgspec.structs.replace(asked, commit=kept.commit, subject=kept.subject, dirty=kept.dirty)


def same_source(kept: About, asked: About) -> str:
    """Return `, same source as COMMIT` where a host keeps the release as of another commit than `asked`; else empty."""
    return "" if kept.short_commit == asked.short_commit else f", same source as {asked.short_commit}"


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
