"""Going back: to the release before, to one that is named, and where there is none."""

from __future__ import annotations

import shlex

import pytest

from tests.stage import Stage
from tests.witness import APP_HOSTS, ROOT, another, lasting, serve, watching


@pytest.fixture
def versions(stage: Stage) -> list[str]:
    """Three versions that followed each other on every host, oldest first; the last is live, and HEAD."""
    while not (way := shared_way(stage)):
        another(stage)
        stage.fab("deploy")
    rows = {row["release"]: row for row in stage.releases("web1")}
    stage.git("checkout", "-q", "-B", "main", rows[way[0]]["commit"])
    return [rows[name]["version"] for name in reversed(way)]


def shared_way(stage: Stage) -> list[str]:
    """Three releases that rollbacks would go through on every host, newest first; empty where there are none.

    A lab that was kept has releases of a former run too, whose commits are not in this run's repository.
    """
    known = set(stage.git("rev-list", "--all").split())
    commits = {row["release"]: row["commit"] for row in stage.releases("web1")}
    ways = {tuple(way[:3]) for way in way_back(stage).values()}
    way = list(ways.pop()) if len(ways) == 1 else []
    ours = all(any(commit.startswith(commits[name]) for commit in known) for name in way)
    return way if len(way) == 3 and ours else []


def way_back(stage: Stage) -> dict[str, list[str]]:
    """The release that is live and those that rollbacks would go to, newest first, by host."""
    way = {}
    for host in APP_HOSTS:
        rows = stage.releases(host)
        live = next(row["release"] for row in rows if row["state"] == "live")
        way[host] = [row["release"] for row in rows if row["release"] <= live and row["state"] in ("live", "healthy")]
    return way


def test_rollback_twice_reaches_the_release_before_last_and_a_deploy_leads_out_again(
    stage: Stage, versions: list[str]
) -> None:
    with watching(stage.lab):
        stage.fab("rollback")
        serve(stage, versions[1])
        stage.fab("rollback")
        serve(stage, versions[0])

        stage.fab("deploy")

    serve(stage, versions[2])


def test_rollback_goes_to_a_release_a_version_or_a_commit(stage: Stage, versions: list[str]) -> None:
    first = way_back(stage)["web1"][2]

    with watching(stage.lab):
        stage.fab("rollback", "--to", versions[1])
        serve(stage, versions[1])
        stage.fab("rollback", "--to", first)
        serve(stage, versions[0])
        stage.fab("rollback", "--to", stage.git("rev-parse", "HEAD"))
        serve(stage, versions[2])

        nowhere = stage.fab("rollback", "--to", "7.7.7", expect=3)

    assert "there is no release '7.7.7'" in nowhere.stderr
    assert first in nowhere.stderr
    serve(stage, versions[2])


def test_a_release_that_failed_is_not_what_its_version_leads_to(stage: Stage, versions: list[str]) -> None:
    good = way_back(stage)["web1"][1]
    stage.version(versions[1], fault="unhealthy")
    stage.write(health={"deadline": 10, "timeout": 5})
    stage.fab("deploy", expect=4)
    stage.write()

    stage.fab("rollback", "--to", versions[1])

    serve(stage, versions[1])
    assert stage.status()["web1"]["release"] == good


def test_hosts_that_disagree_go_back_together_only_where_it_is_said_to_what(stage: Stage, versions: list[str]) -> None:
    middle = way_back(stage)["web1"][1]
    stage.fab("-H", "web1", "rollback")
    serve(stage, versions[1], "web1")

    refused = stage.fab("rollback", expect=3)

    assert "hosts would go back to different releases: web1 to " in refused.stderr
    assert f"hint: `fab stage rollback --to {middle}` takes all of them to {versions[1]} (" in refused.stderr
    assert "which web1 runs already" in refused.stderr
    serve(stage, versions[1], "web1")
    serve(stage, versions[2], "web2")
    stage.fab("rollback", "--skip", "web1")
    serve(stage, versions[1])
    with watching(stage.lab):
        stage.fab("rollback", "--to", versions[0])
    serve(stage, versions[0])


def test_rollback_with_nothing_before_it_says_so_and_changes_nothing(stage: Stage, versions: list[str]) -> None:
    # What lies before the live one is put out of the way, as pruning or a first deploy would have it.
    aside = f"cd {ROOT} && mkdir aside && for r in releases/*Z; do [ $(basename $r) = {{}} ] || mv $r aside/; done"
    for host, row in stage.status().items():
        stage.lab.ssh(host, "sudo bash -c " + shlex.quote(aside.replace("{}", row["release"])))
    before = lasting(stage)

    try:
        refused = stage.fab("rollback", expect=3)
    finally:
        for host in APP_HOSTS:
            stage.lab.ssh(host, f"sudo bash -c 'cd {ROOT} && mv aside/* releases/ && rmdir aside'")

    assert "web1: there is no release to go back to" in refused.stderr
    assert "--skip web1" in refused.stderr
    assert lasting(stage) == before
    serve(stage, versions[2])


def test_where_only_releases_are_left_that_were_rolled_back_from_they_are_listed_to_choose_from(
    stage: Stage, versions: list[str]
) -> None:
    for _ in range(10):
        done = stage.fab("rollback", expect=None)
        if done.returncode:
            break

    assert done.returncode == 3
    assert "there is no release to go back to: the others were rolled back from" in done.stderr
    assert "--skip" not in done.stderr
    live = stage.status()["web1"]["release"]
    withdrawn = [row for row in stage.releases("web1") if row["state"] == "withdrawn"]
    assert versions[2] in [row["version"] for row in withdrawn]
    for row in withdrawn:
        assert f"web1: {row['release']} {row['version']} ({row['commit']}), rolled back from" in done.stderr
    assert live not in done.stderr
    stage.fab("rollback", "--to", versions[2])
    serve(stage, versions[2])


def test_a_host_to_skip_must_be_one(stage: Stage) -> None:
    assert "there is no app host web9" in stage.fab("rollback", "--skip", "web9", expect=2).stderr
