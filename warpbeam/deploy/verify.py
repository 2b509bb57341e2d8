"""The check that the releases on a host are as they were deployed, before they are put live again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from warpbeam.build.digest import digests
from warpbeam.deploy.plan import Plan
from warpbeam.error import Failed, Problem, untouched
from warpbeam.event import Emit, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import record_file
from warpbeam.host.answer import FEW, Count, ReleaseName, Sha256, Text
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host
from warpbeam.store.directory import DirectoryStore

# Seconds beyond `ssh: answer_timeout` in which a host reads all files of its releases.
READING = 300.0


class Verdict(msgspec.Struct, frozen=True):
    """The state of a release on a host; `digest` is of its manifest, links and kind, `recorded` what root keeps."""

    name: ReleaseName
    digest: Sha256
    recorded: Sha256
    differs: Annotated[tuple[Text, ...], FEW]
    count: Count

    def flaws(self, known: Sequence[str] = ()) -> tuple[str, ...]:
        """Return what is not as it was deployed, a line each; `known` are the digests that the release may have."""
        found = list(self.differs)
        if self.count > len(found):
            found.append(f"and {self.count - len(found)} more")
        if self.recorded and self.digest != self.recorded:
            found.append("changed: its manifest is not that with which it was put live")
        elif known and self.digest not in known:
            found.append("changed: its manifest is not that of the artifact that this machine built")
        return tuple(found)


class Verified(msgspec.Struct, frozen=True):
    """The answer of `warpbeam/deploy/verify.sh`."""

    releases: Annotated[tuple[Verdict, ...], FEW]


class Verify(AppPhase[Verified], frozen=True, kw_only=True):
    """Compare releases with their manifests; the head of `warpbeam/deploy/verify.sh` explains its fields."""

    script: ClassVar[str] = "deploy/verify"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "host/digest")
    answer: ClassVar[type] = Verified
    record: str
    chosen: tuple[str, ...]

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True

    @property
    def more_seconds(self) -> float | None:
        """See `Phase.more_seconds`."""
        return READING


def verify(fleet: Fleet, host: Host, names: Sequence[str], emit: Emit) -> dict[str, Verdict]:
    """Return the state of the releases `names` on `host`, by name; all, where none is named. Raises as `fleet.run`."""
    inventory = fleet.inventory
    phase = Verify(**app_parameters(inventory), record=record_file(inventory), chosen=tuple(names))
    return {verdict.name: verdict for verdict in fleet.run(host, phase, emit).releases}


def check_release(
    fleet: Fleet, host: Host, name: str, emit: Emit, *, known: Sequence[str] = (), force: bool = False
) -> str:
    """Verify a release of `host` that is about to go live; return its digest, or empty where it differs (`force`).

    Parameters:
        known: the digests that the release may have, where this machine has its artifact.
        force: warn of differences, and go on.

    Raises: Failed, where the release is not as it was deployed.
    """
    verdict = verify(fleet, host, (name,), emit).get(name)
    if verdict is None:
        raise Failed(f"verify answered nothing about {name}", "look at that host", host=host.name)
    flaws = verdict.flaws(known)
    if not flaws:
        return verdict.digest
    more = f"; and {len(flaws) - 3} more" if len(flaws) > 3 else ""
    what = f"{host.name}: the release {name} is not as it was deployed: {'; '.join(flaws[:3])}{more}"
    if not force:
        hint = (
            "`fab ENV deploy --force` sends it anew, every file verified; `--force` with this command takes it "
            "as it is; who could log in as the deploy user?"
        )
        raise Failed(what, hint, flaws)
    emit(Warn("", f"{what}; it is put live as it is (--force)"))
    return ""


def check_releases(
    fleet: Fleet,
    hosts: Sequence[Host],
    releases: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    emit: Emit,
    *,
    force: bool,
) -> dict[str, str]:
    """Run `check_release` on all of `hosts` at once; return the digests, by the host's name as `releases` and `known`.

    Raises: Refused; nothing was changed.
    """
    results = fleet.everywhere(
        hosts,
        lambda host: check_release(fleet, host, releases[host.name], emit, known=known.get(host.name, ()), force=force),
    )
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if problems:
        raise untouched(problems)
    return {name: result for name, result in results.items() if isinstance(result, str)}


def verify_releases(
    fleet: Fleet, plan: Plan, known: Mapping[str, Sequence[str]], emit: Emit, *, force: bool
) -> dict[str, str]:
    """Verify the releases of `plan` that hosts have already; return the digests of all that go live, by host name.

    An upload is verified as it arrives. The digest of a release is empty where it differs (`force`).

    Parameters:
        known: the digests that each host's release may have, where this machine has its artifact; for an upload the
            first is what it will have.

    Raises: Refused; nothing was changed.
    """
    there = [step for step in plan.hosts if step.activate and not step.upload]
    uploads = {step.host.name: known[step.host.name][0] for step in plan.hosts if step.upload}
    releases = {step.host.name: step.release for step in there}
    return uploads | check_releases(fleet, [step.host for step in there], releases, known, emit, force=force)


def known_digests(store: DirectoryStore | None, plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the digests that the releases of `plan` may have, by the host's name, where this machine has the artifact.

    A host's answer about its release decides only with which artifact the release is compared.
    """
    if store is None:
        return {}
    releases = {step.host.name: step.about for step in plan.hosts if step.activate}
    artifacts = {sha256: store.with_sha256(sha256) for sha256 in {it.sha256 for it in releases.values() if it.sha256}}
    return {name: digests(found) for name, it in releases.items() if (found := artifacts.get(it.sha256))}
