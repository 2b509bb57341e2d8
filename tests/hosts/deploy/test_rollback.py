"""Going back: to the release before, to one that is named, and where there is none."""

from __future__ import annotations

import shlex

import pytest

from tests.assertions import (
    APP_HOSTS,
    ROOT,
    assert_current_stays_whole,
    assert_serves,
    commit_another_version,
    lasting_status,
)
from tests.environment import LabEnvironment


@pytest.fixture
def versions(environment: LabEnvironment) -> list[str]:
    """Three versions that followed each other on every host, oldest first; the last is live, and HEAD."""
    while not (way := shared_way(environment)):
        commit_another_version(environment)
        environment.fab("deploy")
    rows = {row["release"]: row for row in environment.releases("web1")}
    environment.git("checkout", "-q", "-B", "main", rows[way[0]]["commit"])
    return [rows[name]["version"] for name in reversed(way)]


def shared_way(environment: LabEnvironment) -> list[str]:
    """Three releases that rollbacks would go through on every host, newest first; empty where there are none.

    A lab that was kept has releases of a former run too, whose commits are not in this run's repository.
    """
    known = set(environment.git("rev-list", "--all").split())
    commits = {row["release"]: row["commit"] for row in environment.releases("web1")}
    ways = {tuple(way[:3]) for way in way_back(environment).values()}
    way = list(ways.pop()) if len(ways) == 1 else []
    ours = all(any(commit.startswith(commits[name]) for commit in known) for name in way)
    return way if len(way) == 3 and ours else []


def way_back(environment: LabEnvironment) -> dict[str, list[str]]:
    """The release that is live and those that rollbacks would go to, newest first, by host."""
    way = {}
    for host in APP_HOSTS:
        rows = environment.releases(host)
        live = next(row["release"] for row in rows if row["state"] == "live")
        way[host] = [row["release"] for row in rows if row["release"] <= live and row["state"] in ("live", "healthy")]
    return way


def test_rollback_twice_reaches_the_release_before_last_and_a_deploy_leads_out_again(
    environment: LabEnvironment, versions: list[str]
) -> None:
    with assert_current_stays_whole(environment.lab):
        environment.fab("rollback")
        assert_serves(environment, versions[1])
        environment.fab("rollback")
        assert_serves(environment, versions[0])

        environment.fab("deploy")

    assert_serves(environment, versions[2])


def test_rollback_goes_to_a_release_a_version_or_a_commit(environment: LabEnvironment, versions: list[str]) -> None:
    first = way_back(environment)["web1"][2]

    with assert_current_stays_whole(environment.lab):
        environment.fab("rollback", "--to", versions[1])
        assert_serves(environment, versions[1])
        environment.fab("rollback", "--to", first)
        assert_serves(environment, versions[0])
        environment.fab("rollback", "--to", environment.git("rev-parse", "HEAD"))
        assert_serves(environment, versions[2])

        nowhere = environment.fab("rollback", "--to", "7.7.7", expect=3)

    assert "there is no release '7.7.7'" in nowhere.stderr
    assert first in nowhere.stderr
    assert_serves(environment, versions[2])


def test_a_release_that_failed_is_not_what_its_version_leads_to(
    environment: LabEnvironment, versions: list[str]
) -> None:
    good = way_back(environment)["web1"][1]
    environment.version(versions[1], fault="unhealthy")
    environment.write(health={"deadline": 10, "timeout": 5})
    environment.fab("deploy", expect=4)
    environment.write()

    environment.fab("rollback", "--to", versions[1])

    assert_serves(environment, versions[1])
    assert environment.status()["web1"]["release"] == good


def test_hosts_that_disagree_go_back_together_only_where_it_is_said_to_what(
    environment: LabEnvironment, versions: list[str]
) -> None:
    middle = way_back(environment)["web1"][1]
    environment.fab("-H", "web1", "rollback")
    assert_serves(environment, versions[1], "web1")

    refused = environment.fab("rollback", expect=3)

    assert "hosts would go back to different releases: web1 to " in refused.stderr
    assert f"hint: `fab stage rollback --to {middle}` takes all of them to {versions[1]} (" in refused.stderr
    assert "which web1 runs already" in refused.stderr
    assert_serves(environment, versions[1], "web1")
    assert_serves(environment, versions[2], "web2")
    environment.fab("rollback", "--skip", "web1")
    assert_serves(environment, versions[1])
    with assert_current_stays_whole(environment.lab):
        environment.fab("rollback", "--to", versions[0])
    assert_serves(environment, versions[0])


def test_rollback_with_nothing_before_it_says_so_and_changes_nothing(
    environment: LabEnvironment, versions: list[str]
) -> None:
    # Releases before the live one are moved away, as pruning or a first deploy would have it.
    aside = f"cd {ROOT} && mkdir aside && for r in releases/*Z; do [ $(basename $r) = {{}} ] || mv $r aside/; done"
    for host, row in environment.status().items():
        environment.lab.ssh(host, "sudo bash -c " + shlex.quote(aside.replace("{}", row["release"])))
    before = lasting_status(environment)

    try:
        refused = environment.fab("rollback", expect=3)
    finally:
        for host in APP_HOSTS:
            environment.lab.ssh(host, f"sudo bash -c 'cd {ROOT} && mv aside/* releases/ && rmdir aside'")

    assert "web1: there is no release to go back to" in refused.stderr
    assert "--skip web1" in refused.stderr
    assert lasting_status(environment) == before
    assert_serves(environment, versions[2])


def test_where_only_releases_are_left_that_were_rolled_back_from_they_are_listed(
    environment: LabEnvironment, versions: list[str]
) -> None:
    for _ in range(10):
        done = environment.fab("rollback", expect=None)
        if done.returncode:
            break

    assert done.returncode == 3
    assert "there is no release to go back to: the others were rolled back from" in done.stderr
    assert "--skip" not in done.stderr
    live = environment.status()["web1"]["release"]
    withdrawn = [row for row in environment.releases("web1") if row["state"] == "withdrawn"]
    assert versions[2] in [row["version"] for row in withdrawn]
    for row in withdrawn:
        assert f"web1: {row['release']} {row['version']} ({row['commit']}), rolled back from" in done.stderr
    assert live not in done.stderr
    environment.fab("rollback", "--to", versions[2])
    assert_serves(environment, versions[2])


def test_a_host_to_skip_must_be_one(environment: LabEnvironment) -> None:
    assert 'there is no app host "web9"' in environment.fab("rollback", "--skip", "web9", expect=2).stderr
