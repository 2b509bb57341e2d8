"""The preview of a deploy: what it would do to each host, before anybody does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warpbeam.build.revisions import commits_since, migrations_added, migrations_lost
from warpbeam.build.source import Source
from warpbeam.deploy.lock import look
from warpbeam.deploy.plan_deploy import same_source
from warpbeam.error import Problem
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import About, HostFacts


def preview_deploy(fleet: Fleet, source: Source, builders: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a deploy of `source` would do to each app host, as `preview_rows`, which the hosts are asked for.

    Parameters:
        builders: the build host of each app host, by name; empty where one alone builds for all.
    """
    facts = look(fleet, HostSelection().hosts(fleet.inventory), silent)
    rows = preview_rows(facts, source, fleet.inventory.release_name)
    return [{**row, "built_on": builders[row["host"]]} if builders else row for row in rows]


def preview_rows(facts: Mapping[str, HostFacts | Problem], source: Source, release: str = "") -> list[dict[str, Any]]:
    """Return for each host from what to what, and which commits and migrations would go out. Raises: a host's Problem.

    Where a deploy goes back, `commits` has those that go out behind `>` and those that are taken out behind `<`, and
    `migrations_lost` the migrations of the latter. `commits` is None, and `note` says why, where they are unknown.
    """
    rows = []
    for name, found in facts.items():
        if isinstance(found, Problem):
            raise found
        rows.append({"host": name, **_preview(found, source, release)})
    return rows


def _preview(found: HostFacts, source: Source, release: str) -> dict[str, Any]:
    live = found.live_release
    asked = About(commit=source.commit, dirty=source.dirty)
    to, change, note = f"{asked.short_commit} {source.subject}", "a new release", ""
    commits = commits_since(source, live.artifact.commit) if live else None
    if live is None:
        note = "nothing is live: all of it goes out"
    elif live.artifact.tree == source.tree and (not release or live.artifact.release in ("", release)):
        to = f"{live.name} {live.label}{same_source(live.artifact, asked)}"
        change = "nothing: it runs this source already" if found.serving else "it is stopped, and would be started"
        commits = commits or []
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
        "migrations": migrations_added(source, live.artifact.commit) if live and known else [],
        "migrations_lost": migrations_lost(source, live.artifact.commit) if live and known else [],
        "locked": str(found.lock) if found.lock else "",
        "note": note,
    }


def preview_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines for people: what goes out, once for all hosts where it is the same; first where most goes out.

    Hosts to which nothing goes out come last, and then the locks that are in force.
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
    where: dict[str, list[str]] = {}
    for row in rows:
        where.setdefault(row.get("built_on", ""), []).append(row["host"])
    if builders := [builder for builder in where if builder]:
        yield ""
        yield from (f"{', '.join(where[builder])}: built on {builder}" for builder in builders)
    if locked := [row for row in rows if row["locked"]]:
        yield ""
        yield from (f"{row['host']}: locked by {row['locked']}" for row in locked)


def _counted(commits: Sequence[str], one: str, several: str) -> str:
    """Return in words how many commits there are and what happens to them; a list of them follows."""
    if len(commits) > 1:
        return f"{len(commits)} commits {several}, newest first:"
    return f"1 commit {one}:" if commits else f"no commit {one}"
