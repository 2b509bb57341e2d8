"""Revisions of CodeDeploy on a host, run as its agent runs them, and `fab` beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assertions import ROOT, find_leftovers
from tests.background import eventually, is_activating, is_serving
from tests.codedeploy import Agent, ended
from tests.environment import LabEnvironment
from tests.hosts.conftest import raised
from tests.lab import LabHandle
from tests.timeouts import LONG
from warpbeam.lab.state import HostSpec, Suite, default_hosts

HOST = "web4"


@pytest.fixture(scope="module")
def fleet(
    environment: LabEnvironment, labs: dict[Suite, LabHandle], suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabEnvironment]:
    """The environment with one app host alone, which is set up and has no release."""
    raised(labs, suite, *default_hosts(3), HostSpec(HOST))
    head = environment.git("rev-parse", "HEAD")
    hosts = {HOST: {"roles": ["app"]}, "build1": {"roles": ["build"]}}
    settings = environment.settings
    environment.settings = {**settings, "hosts": hosts}
    environment.write()
    environment.lab.ssh(HOST, f"sudo systemctl stop 'd-*' 'hello@*'; sudo rm -rf {ROOT} /opt/codedeploy-agent")
    environment.fab("setup")
    yield environment
    environment.settings = settings
    environment.write()
    environment.git("reset", "-q", "--hard", head)
    environment.lab.ssh(HOST, "sudo systemctl stop 'hello@*'")


@pytest.fixture(scope="module")
def agent(fleet: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The agent, with revisions of a first and a second version, and of one that never gets healthy."""
    made = Agent(fleet.lab, HOST)
    directory = tmp_path_factory.mktemp("revisions")
    for name, version, fault in (("one", "1.0.0", ""), ("two", "2.0.0", ""), ("bad", "2.0.1", "crash-at-boot")):
        fleet.version(version, fault)
        make_revision(fleet, directory / f"{name}.tgz")
        made.take(directory / f"{name}.tgz")
    return made


def make_revision(environment: LabEnvironment, file: Path) -> dict[str, Any]:
    """Write a revision of what is committed; return what `fab` says of it."""
    (row,) = json.loads(environment.fab("codedeploy.bundle", "--output", str(file), "--json").stdout)
    assert row["file"] == str(file)
    return dict(row)


def history(environment: LabEnvironment) -> list[dict[str, Any]]:
    """`fab history` of the host."""
    return list(json.loads(environment.fab("history", "--json").stdout))


def assert_serves(environment: LabEnvironment, version: str) -> None:
    """Fail unless the host serves that version, `fab status` says so, and nothing is left behind."""
    row = environment.status()[HOST]
    assert (row["version"], row["health"], row.get("lock")) == (version, "healthy", None), row
    assert environment.served(HOST)["version"] == version
    assert find_leftovers(environment.lab, HOST) == ""
    assert environment.lab.ssh(HOST, f"sudo ls {ROOT}/activation").stdout.split().count("deployment") == 0


def test_deployments_by_the_agent_and_by_fab_are_one_history(fleet: LabEnvironment, agent: Agent) -> None:
    first = agent.deploy("one.tgz", "d-FIRST")
    assert "BeforeInstall: deploy: from nothing to " in first
    assert "ApplicationStart: - migrate" in first
    assert_serves(fleet, "1.0.0")

    assert "from 2" in agent.deploy("two.tgz", "d-SECOND")
    assert_serves(fleet, "2.0.0")
    assert "BeforeInstall: runs already" in agent.deploy("two.tgz", "d-AGAIN")

    back = agent.deploy("one.tgz", "d-BACK")
    assert "BeforeInstall: rollback: from " in back
    assert "receive" not in back
    assert "- migrate" not in back
    assert_serves(fleet, "1.0.0")
    one, two, again = history(fleet)
    assert [row["what"] for row in (one, two, again)] == ["deploy", "deploy", "rollback"]
    assert {row["outcome"] for row in (one, two, again)} == {"done"}
    assert (again["release"], again["before"], again["version"]) == (one["release"], two["release"], "1.0.0")
    assert two["who"] == "CodeDeploy d-SECOND (fleet)"

    agent.deploy("two.tgz", "d-FORTH")
    assert f"runs {one['release']}" in fleet.fab("rollback").stderr
    assert_serves(fleet, "1.0.0")
    fleet.version("3.0.0")
    fleet.fab("deploy")
    assert_serves(fleet, "3.0.0")
    assert "BeforeInstall: rollback: from " in agent.deploy("two.tgz", "d-OVER")
    assert_serves(fleet, "2.0.0")
    assert history(fleet)[-1]["who"] == "CodeDeploy d-OVER (fleet)"


def test_a_release_that_never_gets_healthy_leaves_the_old_one_serving(fleet: LabEnvironment, agent: Agent) -> None:
    agent.deploy("two.tgz", "d-GOOD")

    said = agent.deploy("bad.tgz", "d-BAD", expect=4)

    assert "ApplicationStart: error: " in said
    assert "did not become live" in said
    assert "the old release " in said
    assert "ValidateService" not in said
    assert_serves(fleet, "2.0.0")
    last = history(fleet)[-1]
    assert (last["outcome"], last["version"], last["who"]) == ("failed", "2.0.1", "CodeDeploy d-BAD (fleet)")


def test_a_release_that_ends_before_validation_is_taken_back(fleet: LabEnvironment, agent: Agent) -> None:
    agent.deploy("one.tgz", "d-BEFORE")
    agent.deploy("two.tgz", "d-ENDS", "BeforeInstall", "AfterInstall", "ApplicationStart")
    assert "CodeDeploy d-ENDS (fleet)" in fleet.fab("lock.status", "--json").stdout
    fleet.lab.ssh(HOST, f"sudo systemctl stop hello@$(basename $(sudo readlink {ROOT}/current))")

    said = agent.deploy("two.tgz", "d-ENDS", "ValidateService", expect=4)

    assert "ValidateService: runs " in said
    assert said.rstrip().endswith("failed with status 1")
    assert_serves(fleet, "1.0.0")
    failed, back = history(fleet)[-2:]
    assert (failed["outcome"], failed["version"]) == ("failed", "2.0.0")
    assert (back["outcome"], back["version"]) == ("brought back", "1.0.0")


def test_of_two_deployments_at_once_one_waits_for_the_other(fleet: LabEnvironment, agent: Agent) -> None:
    agent.deploy("one.tgz", "d-ONE", "BeforeInstall")
    waiting = agent.begin("two.tgz", "d-TWO")
    assert waiting.stdout is not None
    assert (
        "the deploy lock is held by CodeDeploy d-ONE (fleet)" in waiting.stdout.readline() + waiting.stdout.readline()
    )
    assert "held by CodeDeploy d-ONE (fleet)" in fleet.fab("deploy", expect=3).stderr

    agent.deploy("one.tgz", "d-ONE", "AfterInstall", "ApplicationStart", "ValidateService")
    ended(waiting)

    assert_serves(fleet, "2.0.0")
    late = agent.deploy("one.tgz", "d-ONE", "AfterInstall", expect=4)
    assert "error: the hook BeforeInstall of d-ONE has not run" in late


def test_a_killed_agent_leaves_its_activation_to_the_host(fleet: LabEnvironment, agent: Agent) -> None:
    agent.deploy("one.tgz", "d-EARLIER")
    # Otherwise the test would wait minutes for the end of the lease.
    agent.deploy("two.tgz", "d-KILLED", "DownloadBundle")
    program = "/opt/codedeploy-agent/deployment-root/group-1/d-KILLED/deployment-archive/warpbeam/program"
    fleet.lab.ssh(HOST, f"sudo sed -i -E 's/^(lease|gap)=[0-9]+$/\\1=20/' {program}")
    killed = agent.begin("two.tgz", "d-KILLED")
    assert eventually(lambda: is_activating(fleet, HOST))

    agent.kill("d-KILLED")

    killed.communicate(timeout=LONG)
    assert eventually(lambda: is_serving(fleet, HOST, "2.0.0"))
    assert eventually(lambda: history(fleet)[-1]["who"] == "CodeDeploy d-KILLED (fleet)")
    assert history(fleet)[-1]["outcome"] == "done"
    assert "waiting for it" in agent.deploy("one.tgz", "d-LATER")
    assert_serves(fleet, "1.0.0")
