"""The preview of a deploy: what it would do to each host, before anybody does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.revisions import commits_since, migrations_added, migrations_lost
from warpbeam.build.source import Source
from warpbeam.deploy.lock import look
from warpbeam.deploy.named_artifact import choose
from warpbeam.deploy.plan_deploy import same_source
from warpbeam.deploy.preflight import check_compatibility
from warpbeam.deploy.signatures import signers_of
from warpbeam.error import Problem
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import About, HostFacts
from warpbeam.store.directory import DirectoryStore


def preview_deploy(
    fleet: Fleet, source: Source, store: DirectoryStore, builders: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what a deploy of `source` would do to each app host, as `preview_rows`, which the hosts are asked for.

    With allowed signers, `signer` says who signed the artifact of `source` that `store` has.

    Parameters:
        builders: the build host of each app host, by name, for `built_on`; empty where one alone builds for all.
    """
    facts = look(fleet, HostSelection().hosts(fleet.inventory), silent)
    signer = signers_of(source, fleet.inventory, store)
    rows = preview_rows(facts, source, fleet.inventory.release_name)
    if signer:
        rows = [{**row, "signer": signer} for row in rows]
    return [{**row, "built_on": builders[row["host"]]} for row in rows] if builders else rows


def preview_artifacts(
    fleet: Fleet, named: Mapping[str, Manifest], source: Source | None, signers: str
) -> list[dict[str, Any]]:
    """Return what a deploy of these artifacts would do to each app host, as `preview_rows`; several are of one source.

    Parameters:
        named: the manifests, by the names that a person gave.
        source: their source on this machine, or None where no repository here has its commit.
        signers: who signed them; empty where nothing is checked.

    Raises: Refused, where a host cannot run the artifact, or none of them fits it.
    """
    facts = look(fleet, HostSelection().hosts(fleet.inventory), silent)
    answers = {name: found for name, found in facts.items() if isinstance(found, HostFacts)}
    choice = choose(named, answers)
    for name, found in answers.items():
        check_compatibility(name, found, Artifact(Path(), named[choice[name]]))
    made = {name: named[choice[name]] for name in answers}
    rows = preview_rows(facts, source, fleet.inventory.release_name, made)
    return [{**row, "signer": signers} for row in rows] if signers else rows


def preview_rows(
    facts: Mapping[str, HostFacts | Problem],
    source: Source | None,
    release: str = "",
    made: Mapping[str, Manifest] | None = None,
) -> list[dict[str, Any]]:
    """Return for each host from what to what, and which commits and migrations would go out. Raises: a host's Problem.

    Where a deploy goes back, `commits` has those that go out behind `>` and those that are taken out behind `<`, and
    `migrations_lost` the migrations of the latter. `commits` is None, and `note` says why, where they are unknown.

    Parameters:
        made: the manifest of the artifact to deploy, by host; None: that of `source`.
    """
    rows = []
    for name, found in facts.items():
        if isinstance(found, Problem):
            raise found
        rows.append({"host": name, **_preview(found, source, release, made[name] if made else None)})
    return rows


def _preview(found: HostFacts, source: Source | None, release: str, made: Manifest | None) -> dict[str, Any]:
    live, wanted = found.live_release, made or source
    assert wanted is not None  # noqa: S101 (one of them is there)
    asked = About(commit=wanted.commit, dirty=wanted.dirty)
    to, change, note = f"{asked.short_commit} {wanted.subject}", "a new release", ""
    commits = commits_since(source, live.artifact.commit) if live and source else None
    if live is None:
        note = "nothing is live: all of it goes out"
    elif _is_same(live.artifact, wanted, release):
        to = f"{live.name} {live.label}{same_source(live.artifact, asked)}"
        change = "nothing: it runs this source already" if found.serving else "it is stopped, and would be started"
        commits = commits or []
    elif source is None:
        note = f"no repository on this machine has the commit {asked.short_commit}, so nothing can be compared"
    elif commits is None:
        note = (
            f"what it runs ({live.label}) is no commit of the repository {source.top}, so nothing can be compared: "
            "that repository was made anew since, or lacks the commit (`git fetch`); a deploy works all the same"
        )
    known = live is not None and commits is not None
    return {
        "from": f"{live.name} {live.label}" if live else "nothing",
        "to": to,
        "change": change,
        "commits": commits,
        "migrations": migrations_added(source, live.artifact.commit) if live and known and source else [],
        "migrations_lost": migrations_lost(source, live.artifact.commit) if live and known and source else [],
        "locked": str(found.lock) if found.lock else "",
        "note": note,
    }


def _is_same(live: About, wanted: Source | Manifest, release: str) -> bool:
    """Whether the host runs the artifact, or what a build of the source would make."""
    if isinstance(wanted, Manifest):
        return live.sha256 == wanted.sha256
    return live.tree == wanted.tree and (not release or live.release in ("", release))


def preview_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines for people: what goes out, once for all hosts where it is the same; first where most goes out.

    Hosts to which nothing goes out come last, then the signer of the release and the locks that are in force.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        commits = None if row["commits"] is None else tuple(row["commits"])
        key = (row["note"], commits, tuple(row["migrations"]), tuple(row["migrations_lost"]))
        groups.setdefault(key, []).append(row["host"])

    def most(group: tuple[Any, ...]) -> int:
        return -1 if group[0] else -len(group[1] or ()) - len(group[2])

    for group in sorted(groups, key=most):
        note, commits, migrations, lost = group
        hosts = ", ".join(groups[group])
        yield ""
        if note:
            yield f"{hosts}: {note}"
            continue
        back = [line.removeprefix("< ") for line in commits if line.startswith("< ")]
        out = [line.removeprefix("> ") for line in commits if not line.startswith("< ")]
        if out or not back:
            yield f"{hosts}: {_counted(out, 'goes out', 'go out')}"
        yield from (f"  {line}" for line in out)
        yield from (f"  migration {name}" for name in migrations)
        if back:
            yield f"{hosts}: this goes back: {_counted(back, 'is taken out', 'are taken out')}"
        yield from (f"  {line}" for line in back)
        yield from (f"  migration {name}: what it did stays, nothing undoes it" for name in lost)
    if signers := {str(row["signer"]) for row in rows if row.get("signer")}:
        yield ""
        yield from (_signed(signer) for signer in signers)
    where: dict[str, list[str]] = {}
    for row in rows:
        where.setdefault(row.get("built_on", ""), []).append(row["host"])
    if builders := [builder for builder in where if builder]:
        yield ""
        yield from (f"{', '.join(where[builder])}: built on {builder}" for builder in builders)
    if locked := [row for row in rows if row["locked"]]:
        yield ""
        yield from (f"{row['host']}: locked by {row['locked']}" for row in locked)


def _signed(signer: str) -> str:
    """Return in words who signed the artifact, or that a deploy would refuse it."""
    _, nobody, why = signer.partition("nobody: ")
    return f"a deploy would be refused: {why}" if nobody else f"signed by {signer}"


def _counted(commits: Sequence[str], one: str, several: str) -> str:
    """Return in words how many commits there are and what happens to them; a list of them follows."""
    if len(commits) > 1:
        return f"{len(commits)} commits {several}, newest first:"
    return f"1 commit {one}:" if commits else f"no commit {one}"
