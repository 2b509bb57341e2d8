"""The plans of a rollback and of a restart, worked out from facts alone."""

from __future__ import annotations

from collections.abc import Mapping

from warpbeam.deploy.plan import Plan, check_memory_of, plan_host
from warpbeam.deploy.preflight import check_helper
from warpbeam.error import Refused
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Inventory

# Marks of a release that was live, and whose last activation did not fail.
BEEN_LIVE = ("healthy", "withdrawn")
# The fate of the releases that a person may go back to by name, by their marks; empty for a good release.
AFTERWARDS = {"healthy": "", "withdrawn": ", rolled back from", "failed": ", failed"}


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
        steps.append(plan_host(host, have, release, activate=have.live_release != release))
    check_memory_of(inventory, facts, steps)
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
    others = [release for release in reversed(have.releases) if release != live and release.mark in AFTERWARDS]
    if not others:
        return Refused(
            "there is no release to go back to",
            f"`fab ENV releases` shows what there is; `--skip {name}` leaves this host as it is",
            host=name,
        )
    # Do not propose the newest release that was rolled back from: somebody has just left it.
    good = next((release for release in others if release.is_good), None)
    if good is not None:
        why = "every release before the live one failed, was rolled back from, or never was live"
        hint = f"`fab ENV rollback --to {good.name}` goes to {good.label}, which is newer and was not rolled back from"
    else:
        ended = {"withdrawn": "were rolled back from", "failed": "failed"}
        why = f"the others {' or '.join(word for mark, word in ended.items() if any(it.mark == mark for it in others))}"
        hint = "`fab ENV deploy --ref COMMIT` puts out another; `fab ENV rollback --to RELEASE` goes to one of these"
    summary = tuple(f"{name}: {it.name} {it.label}{AFTERWARDS[it.mark]}" for it in others)
    return Refused(f"there is no release to go back to: {why}", hint, summary, host=name)


def _named(have: HostFacts, to: str, host: str) -> str:
    fits = [
        release
        for release in have.releases
        if to in (release.name, release.artifact.version) or (len(to) >= 7 and release.artifact.commit.startswith(to))
    ]
    if not fits:
        known = ", ".join(f"{release.label} {release.name}" for release in have.releases) or "none"
        raise Refused(f"there is no release {to!r}", f"it has: {known}", host=host)
    # A version or commit may have been deployed more than once: prefer what was live and was not rolled back from.
    return max(fits, key=lambda release: (*(release.mark == mark for mark in BEEN_LIVE), release.name)).name
