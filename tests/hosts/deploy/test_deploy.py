"""Deploying: from a commit to what every host serves."""

from __future__ import annotations

import json

import pytest

from tests.assertions import (
    APP_HOSTS,
    DAMAGED,
    ROOT,
    assert_current_stays_whole,
    assert_serves,
    commit_another_version,
    damaged_file,
    lasting_status,
)
from tests.environment import LabEnvironment


def test_a_deploy_puts_the_commit_live_on_every_host(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)

    with assert_current_stays_whole(environment.lab):
        environment.fab("deploy")

    assert_serves(environment, version)
    head = environment.git("rev-parse", "HEAD")
    assert {row["commit"] for row in environment.status().values()} == {head[:8]}


def test_a_second_deploy_changes_nothing_and_says_so(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    before = lasting_status(environment)

    done = environment.fab("deploy")

    assert "is live on every host already" in done.stderr
    assert lasting_status(environment) == before


def test_another_commit_of_the_same_source_is_shown_by_the_one_that_hosts_have(
    environment: LabEnvironment,
) -> None:
    commit_another_version(environment)
    environment.fab("deploy")
    kept = environment.git("rev-parse", "HEAD")[:8]
    asked = environment.commit("nothing of the source")[:8]

    planned = environment.fab("plan")
    done = environment.fab("deploy")

    assert f"({kept}), same source as {asked}" in planned.stdout
    assert "nothing: it runs this source already" in planned.stdout
    assert f"({kept}), same source as {asked} is live on every host already" in done.stderr
    assert {row["commit"] for row in environment.status().values()} == {kept}
    environment.fab("deploy", "--force")
    assert {row["commit"] for row in environment.status().values()} == {asked}
    assert {row["commit"] for row in json.loads(environment.fab("history", "--lines", "1", "--json").stdout)} == {asked}


def test_a_dirty_tree_does_not_keep_from_planning_and_history_says_dirty(environment: LabEnvironment) -> None:
    commit_another_version(environment)
    (environment.source / "VERSION").write_text("5.5.5\n")

    try:
        planned = environment.fab("plan")
        assert "warning: the working tree of " in planned.stderr
        assert "--dirty" in planned.stderr
        environment.fab("deploy", expect=3)
        environment.fab("deploy", "--dirty")
    finally:
        environment.git("checkout", "-q", "VERSION")

    label = f"{environment.git('rev-parse', 'HEAD')[:8]}, dirty"
    assert {row["commit"] for row in json.loads(environment.fab("history", "--lines", "1", "--json").stdout)} == {label}
    assert {row["commit"] for row in environment.status().values()} == {label}
    environment.fab("deploy")


def test_a_forced_deploy_puts_the_same_commit_live_again(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    before = environment.status()

    with assert_current_stays_whole(environment.lab):
        environment.fab("deploy", "--force")

    after = environment.status()
    assert_serves(environment, before["web1"]["version"])
    assert all(after[host]["pid"] != before[host]["pid"] for host in APP_HOSTS)


def test_ref_deploys_an_older_commit_whatever_the_tree_looks_like(environment: LabEnvironment) -> None:
    older = commit_another_version(environment)
    commit = environment.git("rev-parse", "HEAD")
    commit_another_version(environment)
    (environment.source / "VERSION").write_text("not yet committed\n")

    try:
        with assert_current_stays_whole(environment.lab):
            environment.fab("deploy", "--ref", commit[:10])
    finally:
        environment.git("checkout", "-q", "VERSION")

    assert_serves(environment, older)
    assert {row["commit"] for row in environment.status().values()} == {commit[:8]}


def test_migrations_run_once_from_the_new_release_with_its_environment(
    environment: LabEnvironment,
) -> None:
    note = "/var/lib/hello/migrated"
    told = ", ".join(f'System.get_env("{name}", "-")' for name in ("GREETING", "RELEASE_ROOT", "RELEASE_NODE"))
    expression = f'File.write!("{note}", inspect([{told}]) <> "\\n", [:append])'
    migrating = {**environment.settings["deploy"], "migrate": expression}

    def noted(host: str) -> list[list[str]]:
        """Return the environment of the migrations on the host, each time that they ran."""
        lines = environment.lab.ssh(host, f"sudo cat {note}", check=False).stdout.splitlines()
        return [json.loads(line) for line in lines]

    live = environment.status()["web1"]
    try:
        environment.write(deploy=migrating, env={"GREETING": "good evening"})
        environment.fab("-H", "web1", "setup")
        environment.fab("deploy", "--force")

        ((greeting, root, node),) = noted("web1")
        assert (greeting, root) == ("good evening", f"{ROOT}/releases/{environment.status()['web1']['release']}")
        assert not node.startswith(f"hello-{live['slot']}@")
        assert noted("web2") == []
        environment.write(deploy=migrating)
        environment.fab("-H", "web1", "setup")
        left_out = environment.fab("deploy", "--force", "--no-migrate")
        assert len(noted("web1")) == 1
        assert "warning: no migration was run (--no-migrate)" in left_out.stderr
        assert environment.status()["web1"]["release"] != live["release"]
    finally:
        environment.write()
        environment.lab.ssh("web1", f"sudo rm -f {note}")


def test_a_host_named_with_H_alone_is_changed(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    before = lasting_status(environment)
    version = commit_another_version(environment)

    with assert_current_stays_whole(environment.lab):
        environment.fab("-H", "web1", "deploy")

    after = lasting_status(environment)
    assert after["web1"]["version"] == version
    assert after["web2"] == before["web2"]
    environment.fab("deploy")
    assert_serves(environment, version)


def test_a_host_that_joined_later_gets_what_the_others_run(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)
    environment.fab("-H", "web1", "deploy")
    # HEAD has moved on since; nobody asked for that.
    commit_another_version(environment)

    done = environment.fab("-H", "web2", "deploy", "--release", "live")

    assert_serves(environment, version)
    assert "web1" not in done.stderr.replace("web1: claim", "")
    rows = environment.status()
    assert rows["web1"]["commit"] == rows["web2"]["commit"]
    # By its name too, so that to go back leads both to the same.
    assert rows["web1"]["release"] == rows["web2"]["release"]


@pytest.mark.parametrize("how", ["damaged", "missing", "unreadable"])
def test_a_live_release_that_is_not_as_it_was_deployed_stops_no_later_deploy(
    environment: LabEnvironment, how: str
) -> None:
    version = commit_another_version(environment)
    with damaged_file(environment, "web2", how):
        done = environment.fab("deploy")

    warned = next(line for line in done.stderr.splitlines() if "not as it was deployed" in line)
    assert DAMAGED in warned
    assert warned.startswith("web2: warning: ")
    assert_serves(environment, version)
    # It is whole again.
    assert "not as it was deployed" not in environment.fab("deploy", "--force").stderr


def test_a_plan_tells_commits_and_migrations_and_changes_nothing(environment: LabEnvironment) -> None:
    environment.fab("deploy")
    before = lasting_status(environment)
    text = environment.lab.ssh("web1", f"sudo find {ROOT} ! -name lock.guard -printf '%p %T@\\n' | sort").stdout
    migration = environment.source / "priv" / "migrations" / "0003_count_the_guests.exs"
    migration.write_text("fn state -> state end\n")
    environment.commit("count the guests")
    version = commit_another_version(environment)

    try:
        done = environment.fab("plan")
        rows = json.loads(environment.fab("plan", "--json").stdout)
    finally:
        migration.unlink()
        environment.commit("no more guests")

    assert "count the guests" in done.stdout
    assert f"version {version}" in done.stdout
    assert "priv/migrations/0003_count_the_guests.exs" in done.stdout
    assert [row["host"] for row in rows] == ["web1", "web2"]
    assert rows[0]["migrations"] == ["priv/migrations/0003_count_the_guests.exs"]
    assert rows[0]["from"].startswith(str(before["web1"]["release"]))
    assert lasting_status(environment) == before
    after = environment.lab.ssh("web1", f"sudo find {ROOT} ! -name lock.guard -printf '%p %T@\\n' | sort").stdout
    assert after == text


def test_what_is_kept_is_what_one_can_go_back_to(environment: LabEnvironment) -> None:
    environment.write(deploy={**environment.settings["deploy"], "keep": 2})
    try:
        for _ in range(2):
            commit_another_version(environment)
            environment.fab("-H", "web1", "deploy")
        environment.version("9.9.0", fault="crash-at-boot")
        environment.fab("-H", "web1", "deploy", expect=4)
        bad = environment.releases("web1")[0]
        # An upload that lost the lock may have left a half; what has another name is none of ours.
        environment.lab.ssh(
            "web1", f"mkdir -p {ROOT}/releases/20200101T000000Z/lib {ROOT}/releases/quarantineZ", "deploy"
        )
        last = commit_another_version(environment)
        environment.fab("deploy")
        assert "20200101T000000Z" not in (names := environment.lab.ssh("web1", f"ls {ROOT}/releases", "deploy").stdout)
        assert "quarantineZ" in names

        kept = environment.releases("web1")
        assert [row["state"] for row in kept] == ["live", "healthy"]
        assert bad["release"] not in [row["release"] for row in kept]
        environment.fab("-H", "web1", "rollback")
        assert environment.status()["web1"]["release"] == kept[1]["release"]
    finally:
        environment.write()
        environment.lab.ssh("web1", f"rm -rf {ROOT}/releases/quarantineZ", "deploy")
    environment.fab("deploy", "--force")
    assert_serves(environment, last)


def test_a_deploy_starts_what_is_live_but_stopped(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)
    environment.fab("deploy")
    live = environment.status()["web1"]["release"]
    environment.fab("-H", "web1", "stop")

    assert "would be started" in environment.fab("plan").stdout
    done = environment.fab("deploy")

    assert f"web1: deploy: is live, but stopped; starts {live}" in done.stderr
    assert f"web1: started {live}" in done.stderr
    assert f"web2: runs already {live}" in done.stderr
    assert_serves(environment, version)
