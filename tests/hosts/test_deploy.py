"""Deploying: from a commit to what every host serves."""

from __future__ import annotations

import json

import pytest

from tests.stage import Stage
from tests.witness import APP_HOSTS, DAMAGED, ROOT, another, damaged, lasting, serve, watching


def test_a_deploy_puts_the_commit_live_on_every_host(stage: Stage) -> None:
    version = another(stage)

    with watching(stage.lab):
        stage.fab("deploy")

    serve(stage, version)
    head = stage.git("rev-parse", "HEAD")
    assert {row["commit"] for row in stage.status().values()} == {head[:8]}


def test_a_second_deploy_changes_nothing_and_says_so(stage: Stage) -> None:
    stage.fab("deploy")
    before = lasting(stage)

    done = stage.fab("deploy")

    assert "is live on every host already" in done.stderr
    assert lasting(stage) == before


def test_another_commit_of_the_same_source_is_told_by_the_one_that_hosts_keep_it_as(stage: Stage) -> None:
    another(stage)
    stage.fab("deploy")
    kept = stage.git("rev-parse", "HEAD")[:8]
    asked = stage.commit("nothing of the source")[:8]

    planned = stage.fab("plan")
    done = stage.fab("deploy")

    assert f"({kept}), same source as {asked}" in planned.stdout
    assert "nothing: it runs this source already" in planned.stdout
    assert f"({kept}), same source as {asked} is live on every host already" in done.stderr
    assert {row["commit"] for row in stage.status().values()} == {kept}
    stage.fab("deploy", "--force")
    assert {row["commit"] for row in stage.status().values()} == {asked}
    assert {row["commit"] for row in json.loads(stage.fab("history", "--lines", "1", "--json").stdout)} == {asked}


def test_a_dirty_tree_does_not_keep_from_planning_and_history_says_dirty(stage: Stage) -> None:
    another(stage)
    (stage.source / "VERSION").write_text("5.5.5\n")

    try:
        planned = stage.fab("plan")
        assert "warning: the working tree of " in planned.stderr
        assert "--dirty" in planned.stderr
        stage.fab("deploy", expect=3)
        stage.fab("deploy", "--dirty")
    finally:
        stage.git("checkout", "-q", "VERSION")

    label = f"{stage.git('rev-parse', 'HEAD')[:8]}, dirty"
    assert {row["commit"] for row in json.loads(stage.fab("history", "--lines", "1", "--json").stdout)} == {label}
    assert {row["commit"] for row in stage.status().values()} == {label}
    stage.fab("deploy")


def test_a_forced_deploy_puts_the_same_commit_live_again(stage: Stage) -> None:
    stage.fab("deploy")
    before = stage.status()

    with watching(stage.lab):
        stage.fab("deploy", "--force")

    after = stage.status()
    serve(stage, before["web1"]["version"])
    assert all(after[host]["pid"] != before[host]["pid"] for host in APP_HOSTS)


def test_ref_deploys_an_older_commit_whatever_the_tree_looks_like(stage: Stage) -> None:
    older = another(stage)
    commit = stage.git("rev-parse", "HEAD")
    another(stage)
    (stage.source / "VERSION").write_text("not yet committed\n")

    try:
        with watching(stage.lab):
            stage.fab("deploy", "--ref", commit[:10])
    finally:
        stage.git("checkout", "-q", "VERSION")

    serve(stage, older)
    assert {row["commit"] for row in stage.status().values()} == {commit[:8]}


def test_migrations_run_once_from_the_new_release_with_the_environment_that_it_will_start_with(stage: Stage) -> None:
    note = "/var/lib/hello/migrated"
    told = ", ".join(f'System.get_env("{name}", "-")' for name in ("GREETING", "RELEASE_ROOT", "RELEASE_NODE"))
    expression = f'File.write!("{note}", inspect([{told}]) <> "\\n", [:append])'
    migrating = {**stage.settings["deploy"], "migrate": expression}

    def noted(host: str) -> list[list[str]]:
        """What was there for the migrations on the host, each time that they ran."""
        lines = stage.lab.ssh(host, f"sudo cat {note}", check=False).stdout.splitlines()
        return [json.loads(line) for line in lines]

    live = stage.status()["web1"]
    try:
        stage.write(deploy=migrating, env={"GREETING": "good evening"})
        stage.fab("-H", "web1", "setup")
        stage.fab("deploy", "--force")

        ((greeting, root, node),) = noted("web1")
        assert (greeting, root) == ("good evening", f"{ROOT}/releases/{stage.status()['web1']['release']}")
        assert not node.startswith(f"hello-{live['slot']}@")
        assert noted("web2") == []
        stage.write(deploy=migrating)
        stage.fab("-H", "web1", "setup")
        left_out = stage.fab("deploy", "--force", "--no-migrate")
        assert len(noted("web1")) == 1
        assert "warning: no migration was run (--no-migrate)" in left_out.stderr
        assert stage.status()["web1"]["release"] != live["release"]
    finally:
        stage.write()
        stage.lab.ssh("web1", f"sudo rm -f {note}")


def test_a_host_named_with_H_alone_is_changed(stage: Stage) -> None:
    stage.fab("deploy")
    before = lasting(stage)
    version = another(stage)

    with watching(stage.lab):
        stage.fab("-H", "web1", "deploy")

    after = lasting(stage)
    assert after["web1"]["version"] == version
    assert after["web2"] == before["web2"]
    stage.fab("deploy")
    serve(stage, version)


def test_a_host_that_joined_later_gets_what_the_others_run(stage: Stage) -> None:
    version = another(stage)
    stage.fab("-H", "web1", "deploy")
    # HEAD has moved on since; nobody asked for that.
    another(stage)

    done = stage.fab("-H", "web2", "deploy", "--release", "live")

    serve(stage, version)
    assert "web1" not in done.stderr.replace("web1: claim", "")
    rows = stage.status()
    assert rows["web1"]["commit"] == rows["web2"]["commit"]
    # By its name too, so that to go back leads both to the same.
    assert rows["web1"]["release"] == rows["web2"]["release"]


@pytest.mark.parametrize("how", ["damaged", "missing", "unreadable"])
def test_a_live_release_that_is_not_as_it_was_deployed_stops_no_later_deploy(stage: Stage, how: str) -> None:
    version = another(stage)
    with damaged(stage, "web2", how):
        done = stage.fab("deploy")

    warned = next(line for line in done.stderr.splitlines() if "not as it was deployed" in line)
    assert DAMAGED in warned
    assert warned.startswith("web2: warning: ")
    serve(stage, version)
    # It is whole again.
    assert "not as it was deployed" not in stage.fab("deploy", "--force").stderr


def test_a_plan_tells_commits_and_migrations_and_changes_nothing(stage: Stage) -> None:
    stage.fab("deploy")
    before = lasting(stage)
    text = stage.lab.ssh("web1", f"sudo find {ROOT} ! -name lock.guard -printf '%p %T@\\n' | sort").stdout
    migration = stage.source / "priv" / "migrations" / "0003_count_the_guests.exs"
    migration.write_text("fn state -> state end\n")
    stage.commit("count the guests")
    version = another(stage)

    try:
        done = stage.fab("plan")
        rows = json.loads(stage.fab("plan", "--json").stdout)
    finally:
        migration.unlink()
        stage.commit("no more guests")

    assert "count the guests" in done.stdout
    assert f"version {version}" in done.stdout
    assert "priv/migrations/0003_count_the_guests.exs" in done.stdout
    assert [row["host"] for row in rows] == ["web1", "web2"]
    assert rows[0]["migrations"] == ["priv/migrations/0003_count_the_guests.exs"]
    assert rows[0]["from"].startswith(str(before["web1"]["release"]))
    assert lasting(stage) == before
    after = stage.lab.ssh("web1", f"sudo find {ROOT} ! -name lock.guard -printf '%p %T@\\n' | sort").stdout
    assert after == text


def test_what_is_kept_is_what_one_can_go_back_to(stage: Stage) -> None:
    stage.write(deploy={**stage.settings["deploy"], "keep": 2})
    try:
        for _ in range(2):
            another(stage)
            stage.fab("-H", "web1", "deploy")
        stage.version("9.9.0", fault="crash-at-boot")
        stage.fab("-H", "web1", "deploy", expect=4)
        bad = stage.releases("web1")[0]
        # An upload that lost the lock may have left a half; what has another name is none of ours.
        stage.lab.ssh("web1", f"mkdir -p {ROOT}/releases/20200101T000000Z/lib {ROOT}/releases/quarantineZ", "deploy")
        last = another(stage)
        stage.fab("deploy")
        assert "20200101T000000Z" not in (names := stage.lab.ssh("web1", f"ls {ROOT}/releases", "deploy").stdout)
        assert "quarantineZ" in names

        kept = stage.releases("web1")
        assert [row["state"] for row in kept] == ["live", "healthy"]
        assert bad["release"] not in [row["release"] for row in kept]
        stage.fab("-H", "web1", "rollback")
        assert stage.status()["web1"]["release"] == kept[1]["release"]
    finally:
        stage.write()
        stage.lab.ssh("web1", f"rm -rf {ROOT}/releases/quarantineZ", "deploy")
    stage.fab("deploy", "--force")
    serve(stage, last)


def test_a_deploy_starts_what_is_live_but_stopped(stage: Stage) -> None:
    version = another(stage)
    stage.fab("deploy")
    live = stage.status()["web1"]["release"]
    stage.fab("-H", "web1", "stop")

    assert "would be started" in stage.fab("plan").stdout
    done = stage.fab("deploy")

    assert f"web1: deploy: is live, but stopped; starts {live}" in done.stderr
    assert f"web1: started {live}" in done.stderr
    assert f"web2: runs already {live}" in done.stderr
    serve(stage, version)
