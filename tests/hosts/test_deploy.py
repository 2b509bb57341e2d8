"""Deploying: from a commit to what every host serves."""

from __future__ import annotations

from tests.stage import Stage


def test_a_deploy_puts_the_commit_live_on_every_host(stage: Stage) -> None:
    commit = stage.version("1.0.0")

    stage.fab("deploy")

    for host, row in stage.status().items():
        assert row["commit"] == commit[:8]
        assert row["health"] == "healthy"
        assert stage.served(host)["version"] == "1.0.0"


def test_a_second_deploy_changes_nothing_and_says_so(stage: Stage) -> None:
    before = stage.status()

    done = stage.fab("deploy")

    assert "is live on every host already" in done.stderr
    assert {host: row["pid"] for host, row in stage.status().items()} == {
        host: row["pid"] for host, row in before.items()
    }
