"""Going from host to host: batches, pauses, and what becomes of the others when one fails."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.environment import LabEnvironment
from warpbeam.lab.client import ssh_argv

BLUE_GREEN = {"strategy": "blue-green", "drain": 3, "migrate": "Hello.Release.migrate()"}


@contextmanager
def sick(environment: LabEnvironment, host: str, **deploy: str) -> Iterator[None]:
    """Every new instance on `host` is unhealthy (its /health answers 500); `deploy` is how the inventory rolls."""
    environment.write(deploy={**BLUE_GREEN, **deploy}, health={"deadline": 8, "timeout": 4})
    try:
        with environment.fault("unhealthy", host):
            yield
    finally:
        environment.write()


def outcomes(environment: LabEnvironment) -> dict[str, str]:
    """The last line of history of each host."""
    rows = json.loads(environment.fab("history", "--json").stdout)
    return {row["host"]: row["outcome"] for row in rows}


def test_a_host_that_fails_stops_the_roll_and_the_others_stay_as_they_are(environment: LabEnvironment) -> None:
    before = environment.status()
    with sick(environment, "web1"):
        failed = environment.fab("deploy", "--force", expect=4)

        assert "web1: " in failed.stderr
        assert "said 500; expected 200" in failed.stderr
        assert "web2 was not touched" in failed.stderr
    after = environment.status()
    assert {host: row["pid"] for host, row in after.items()} == {host: row["pid"] for host, row in before.items()}
    assert outcomes(environment)["web1"] == "failed"


def test_by_on_failure_rollback_the_hosts_already_done_go_back_too(environment: LabEnvironment) -> None:
    environment.version("8.0.0")
    environment.fab("deploy")
    before = environment.status()["web1"]["release"]
    environment.version("8.1.0")
    with sick(environment, "web2", on_failure="rollback"):
        failed = environment.fab("deploy", expect=4)

        assert "web1 was brought back to what ran before" in failed.stderr
    assert {row["version"] for row in environment.status().values()} == {"8.0.0"}
    assert environment.status()["web1"]["release"] == before
    assert outcomes(environment) == {"web1": "brought back", "web2": "failed"}
    environment.fab("deploy")
    assert {row["version"] for row in environment.status().values()} == {"8.1.0"}


def test_without_it_they_stay_and_the_message_says_so(environment: LabEnvironment) -> None:
    environment.version("8.2.0")
    with sick(environment, "web2", on_failure="rollback"):
        failed = environment.fab("deploy", "--on-failure", "stop", expect=4)

        assert "web1 runs 8.2.0" in failed.stderr
    assert {host: row["version"] for host, row in environment.status().items()}["web1"] == "8.2.0"
    environment.fab("deploy")
    assert {row["version"] for row in environment.status().values()} == {"8.2.0"}
    # They have the same release by the same name, so that a rollback needs no --to.
    assert len({row["release"] for row in environment.status().values()}) == 1


@pytest.mark.parametrize("on_failure", ["stop", "rollback"])
def test_a_host_that_is_sick_after_the_pause_goes_back_and_the_next_is_not_touched(
    environment: LabEnvironment, on_failure: str
) -> None:
    # Once it is live, its instance is killed, so that systemd must start it again.
    kill = "sudo sh -c 'systemctl kill --signal=KILL hello@$(basename $(readlink /opt/acme/hello/current))'"
    hook = {"run": shlex.join((*ssh_argv(environment.lab.name, "web1")[:-1], "-l", "admin", "web1", kill))}
    before = environment.status()
    roll = {"batch": "1", "pause": 2, "on_failure": on_failure}
    environment.write(deploy={**BLUE_GREEN, **roll}, hooks={"activate": {"after": [hook]}})
    try:
        failed = environment.fab("deploy", "--force", expect=4)
    finally:
        environment.write()

    assert "waiting 2 s before the next hosts" in failed.stderr
    assert "error: web1: after 2 s it is no longer healthy: " in failed.stderr
    assert "web1 was brought back to what ran before; web2 was not touched" in failed.stderr
    after = environment.status()
    assert {host: row["release"] for host, row in after.items()} == {h: row["release"] for h, row in before.items()}
    assert (after["web1"]["health"], after["web1"]["restarts"]) == ("healthy", 0)
    assert after["web2"]["pid"] == before["web2"]["pid"]
    rows = [row for row in json.loads(environment.fab("history", "--json").stdout) if row["host"] == "web1"][-3:]
    assert [row["outcome"] for row in rows] == ["done", "failed", "brought back"]
    assert rows[1]["problem"].startswith("web1: after 2 s it is no longer healthy: ")
    assert environment.releases("web1")[0]["state"] == "withdrawn"


def test_a_whole_batch_changes_at_once(environment: LabEnvironment) -> None:
    environment.write(deploy={**environment.settings["deploy"], "batch": "100%"})
    try:
        done = environment.fab("restart")
    finally:
        environment.write()

    lines = [line for line in done.stderr.splitlines() if line.endswith((": start", ": switch"))]
    assert sorted(lines[:2]) == ["web1: start", "web2: start"]
    ending = re.search(r"^web1: restarted \S+ .*, slot ([ab]) to ([ab])$", done.stderr, re.MULTILINE)
    assert ending is not None
    assert ending[1] != ending[2] == environment.status()["web1"]["slot"]


def test_a_host_that_does_not_answer_is_refused_or_left_out_by_name_or_by_itself(environment: LabEnvironment) -> None:
    environment.write(ssh={**environment.settings["ssh"], "connect_timeout": 3})
    nonce = environment.source / "priv" / "nonce"
    environment.lab.crash("web2")
    try:
        before = environment.status()["web1"]["pid"]
        refused = environment.fab("restart", expect=3)
        assert "nothing was changed on any host" in refused.stderr
        assert environment.status()["web1"]["pid"] == before

        left_out = environment.fab("restart", "--skip-unreachable")
        assert "left as they are: web2" in left_out.stderr.splitlines()[-1]
        assert "left as they are: web2" in environment.fab("restart", "--skip", "web2").stderr
        # Also where something must be built first, and where the roll fails.
        nonce.write_text(str(time.time_ns()))
        environment.commit("never built before")
        deployed = environment.fab("deploy", "--skip-unreachable")
        assert "build1: " in deployed.stderr
        assert "left as they are: web2" in deployed.stderr.splitlines()[-1]
        with environment.fault("crash-at-boot", "web1"):
            failed = environment.fab("restart", "--skip-unreachable", expect=4)
        assert "warning: left as they are: web2" in failed.stderr
    finally:
        environment.lab.boot("web2")
        environment.write()
    nonce.unlink()
    environment.commit("nothing that need be built again")
    environment.fab("deploy")
    assert len({row["release"] for row in environment.status().values()}) == 1


def test_wrong_words_are_refused_before_anything_runs(environment: LabEnvironment) -> None:
    assert "--batch" in environment.fab("restart", "--batch", "0", expect=2).stderr
    assert "--pause" in environment.fab("restart", "--pause", "soon", expect=2).stderr
    assert "--on-failure" in environment.fab("restart", "--on-failure", "explode", expect=2).stderr
    assert "--skip" in environment.fab("restart", "--skip", "web9", expect=2).stderr
