"""The text of `plan`: commits and migrations for each host, and what it cannot know."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.unit.deploy.test_plan import artifact, facts
from warpbeam.build.source import Source, find_source
from warpbeam.deploy.preview import preview_lines, preview_rows
from warpbeam.host.facts import About, HostFacts, Release


def git(directory: Path, *words: str) -> str:
    """Run git with an identity."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", directory, *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def way(tmp_path: Path) -> list[Source]:
    """The source at three commits in a row; the last adds a migration."""
    git(tmp_path, "init", "-q", "-b", "main")
    sources = []
    for name in ("mix.exs", "lib.ex", "priv/repo/migrations/1_users.exs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "-q", "-m", f"write {name}")
        sources.append(find_source(tmp_path))
    return sources


def running(source: Source, **changes: object) -> HostFacts:
    """Return a host that runs that source."""
    about = About(version="1.0", commit=source.commit, tree=source.tree)
    return facts(Release("20261120T000000Z", "healthy", msgspec.structs.replace(about, **changes)))


def told(hosts: dict[str, HostFacts], source: Source) -> list[str]:
    """Return the lines below the table."""
    return list(preview_lines(preview_rows(hosts, source)))


def test_what_goes_out_comes_before_where_nothing_does_and_once_for_hosts_that_agree(way: list[Source]) -> None:
    first, _, last = way

    lines = told({"web1": running(last), "web2": running(first), "web3": running(first)}, last)

    assert lines[:2] == ["", "web2, web3: 2 commits go out, newest first:"]
    assert [line.split(" ", 3)[3] for line in lines[2:4]] == [
        "write priv/repo/migrations/1_users.exs (Test)",
        "write lib.ex (Test)",
    ]
    assert lines[4:] == ["  migration priv/repo/migrations/1_users.exs", "", "web1: no commit goes out"]


def test_a_first_deploy_and_a_commit_that_the_repository_lacks_are_distinguished(way: list[Source]) -> None:
    lines = told({"web1": facts(), "web2": running(way[0], commit="f" * 40, tree="t")}, way[-1])

    assert "web1: nothing is live: all of it goes out" in lines
    assert f"web2: what it runs (1.0 (ffffffff)) is no commit of the repository {way[0].top}, so nothing" in lines[3]
    assert "made anew" in lines[3]


def test_the_same_source_under_another_commit_is_shown_by_the_commit_of_the_host(way: list[Source]) -> None:
    (row,) = preview_rows({"web1": running(way[-1], commit="f" * 40)}, way[-1])

    assert row["to"] == f"20261120T000000Z 1.0 (ffffffff), same source as {way[-1].commit[:8]}"
    assert row["change"] == "nothing: it runs this source already"
    assert list(preview_lines([row])) == ["", "web1: no commit goes out"]


def test_an_artifact_is_compared_by_its_digest_and_its_commit_where_it_is_known(way: list[Source]) -> None:
    made = msgspec.structs.replace(artifact().manifest, commit=way[-1].commit, subject="three", sha256="a" * 64)
    hosts = {"web1": running(way[0], sha256="b" * 64), "web2": running(way[-1], sha256="a" * 64)}

    first, second = preview_rows(hosts, way[-1], "hello", dict.fromkeys(hosts, made))
    assert (first["to"], first["change"]) == (f"{way[-1].commit[:8]} three", "a new release")
    assert len(first["commits"]) == 2
    assert second["change"] == "nothing: it runs this source already"
    # A machine without the repository, such as a CI runner.
    (alone, _) = preview_rows(hosts, None, "hello", dict.fromkeys(hosts, made))
    assert alone["commits"] is None
    assert f"no repository on this machine has the commit {way[-1].commit[:8]}" in alone["note"]


def test_a_dirty_tree_does_not_keep_anybody_from_looking(way: list[Source]) -> None:
    (way[0].directory / "lib.ex").write_text("changed")

    source = find_source(way[0].directory, leave_dirty=True)

    assert (source.commit, source.tree, source.dirty) == (way[-1].commit, way[-1].tree, False)


def test_commits_that_a_deploy_removes_are_shown_as_such_and_their_migrations_stay(way: list[Source]) -> None:
    first, _, last = way

    lines = told({"web1": running(last)}, first)

    assert lines[1] == "web1: this goes back: 2 commits are taken out, newest first:"
    assert [line.split(" ", 3)[3] for line in lines[2:4]] == [
        "write priv/repo/migrations/1_users.exs (Test)",
        "write lib.ex (Test)",
    ]
    assert lines[4:] == ["  migration priv/repo/migrations/1_users.exs: what it did stays, nothing undoes it"]


def test_what_is_live_but_stopped_would_be_started(way: list[Source]) -> None:
    (row,) = preview_rows({"web1": msgspec.structs.replace(running(way[-1]), serving=False)}, way[-1])

    assert row["change"] == "it is stopped, and would be started"
