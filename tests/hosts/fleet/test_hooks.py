"""Hooks on real hosts: when they run, as whom, with what; and what a failing one leaves."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assertions import ROOT, assert_serves, commit_another_version
from tests.background import await_end, running_fab
from tests.environment import LabEnvironment

PHASES = ("setup", "build", "deploy", "migrate", "activate", "rollback", "restart")
# One line a hook, of what it was told; `date` orders them.
NOTE = (
    'echo "$(date +%s.%N) $(id -un) $PWD $WARPBEAM_WHEN $WARPBEAM_PHASE host=$WARPBEAM_HOST version=$WARPBEAM_VERSION '
    'release=$WARPBEAM_RELEASE previous=$WARPBEAM_PREVIOUS commit=$WARPBEAM_COMMIT in=$WARPBEAM_ENVIRONMENT"'
)
LOG = "/home/deploy/hooks.log"


@pytest.fixture(autouse=True)
def as_it_was(environment: LabEnvironment) -> Iterator[None]:
    """Each test leaves an inventory without hooks, and no notes of them."""
    yield
    environment.write()
    for host in ("web1", "web2", "build1"):
        environment.lab.ssh(host, f"rm -f {LOG}", user="deploy")


def notes(environment: LabEnvironment, host: str) -> list[str]:
    """Return the notes of hooks on a host, in order, without the time."""
    text = environment.lab.ssh(host, f"cat {LOG} 2>/dev/null; rm -f {LOG}", user="deploy", check=False).stdout
    return [line.split(" ", 1)[1] for line in sorted(text.splitlines())]


def hooks(directory: Path, *phases: str) -> dict[str, Any]:
    """Hooks before and after each of those phases, on the hosts and here, that note their input."""
    there = {"run": f"{NOTE} >>{LOG}", "on": "hosts"}
    here = {"run": f"{NOTE} >>{directory}/hooks.log"}
    return {phase: {"before": [there, here], "after": [here, there]} for phase in phases}


def test_hooks_run_around_each_phase_as_the_deploy_user_and_know_what_it_is_about(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    environment.write(hooks=hooks(tmp_path, *PHASES))
    environment.fab("setup")
    version = commit_another_version(environment)
    commit = environment.git("rev-parse", "HEAD")
    before = environment.status()["web1"]["release"]
    for host in ("web1", "web2", "build1"):
        assert [line.split()[2:4] for line in notes(environment, host)] == [["before", "setup"], ["after", "setup"]]
    (tmp_path / "hooks.log").unlink()

    environment.fab("deploy", "--force")

    release = environment.status()["web1"]["release"]
    whole = f"release={release} previous={before} commit={commit} in=stage"
    around = [("before", "deploy"), ("before", "activate"), ("after", "activate"), ("after", "deploy")]
    migrated = [around[0], ("before", "migrate"), ("after", "migrate"), *around[1:]]
    for host, expected in (("web1", migrated), ("web2", around)):
        assert notes(environment, host) == [
            f"deploy {ROOT} {when} {phase} host={host} version={version} {whole}" for when, phase in expected
        ]
    here = [line.split(" ", 3)[3] for line in (tmp_path / "hooks.log").read_text().splitlines()]
    told = [" ".join(line.split()[:3]) for line in here if " build " not in line]
    assert told == [
        "before deploy host=",
        "before migrate host=web1",
        "after migrate host=web1",
        "before activate host=web1",
        "after activate host=web1",
        "before activate host=web2",
        "after activate host=web2",
        "after deploy host=",
    ]
    assert here[-1] == f"after deploy host= version={version} {whole}"


def test_hooks_around_a_build_run_on_the_build_host_and_only_when_something_is_built(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    environment.write(hooks=hooks(tmp_path, "build"))
    environment.version("6.6.6")
    commit = environment.commit("a line of history")
    (environment.source / "lib" / "hello" / "unused.ex").write_text(f"defmodule Hello.Unused{commit[:8]} do\nend\n")
    commit = environment.commit("a module of its own")

    environment.fab("build-on-host")

    assert [line.split(" ", 2)[2] for line in notes(environment, "build1")] == [
        f"before build host=build1 version= release= previous= commit={commit} in=stage",
        f"after build host=build1 version=6.6.6 release= previous= commit={commit} in=stage",
    ]
    environment.fab("build-on-host")
    assert notes(environment, "build1") == []


def test_a_failing_hook_before_an_activation_leaves_the_old_release_serving(environment: LabEnvironment) -> None:
    served = environment.served("web1")["version"]
    commit_another_version(environment)
    environment.write(hooks={"activate": {"before": [{"run": "echo 'the cache is cold'; exit 9", "on": "hosts"}]}})

    failed = environment.fab("deploy", expect=4)

    # Once, as it came.
    assert failed.stderr.count("web1: │ the cache is cold\n") == 1
    assert "| the cache is cold" not in failed.stderr
    assert "ended with status 9 (a hook before activate); activate was not begun" in failed.stderr
    assert "web2 was not touched" in failed.stderr
    assert_serves(environment, served)


def test_a_failing_hook_after_an_activation_stops_the_rollout_on_a_changed_host(
    environment: LabEnvironment,
) -> None:
    environment.write()
    environment.fab("deploy")
    served = environment.served("web2")["version"]
    version = commit_another_version(environment)
    environment.write(hooks={"activate": {"after": [{"run": "exit 9", "on": "hosts"}]}})

    failed = environment.fab("deploy", expect=4)

    assert "(a hook after activate); activate itself was done, and stays so" in failed.stderr
    assert f"web1 runs {version}" in failed.stderr
    assert "web2 was not touched" in failed.stderr
    assert_serves(environment, version, "web1")
    assert_serves(environment, served, "web2")

    environment.fab("deploy", "--on-failure", "rollback", expect=4)
    assert_serves(environment, version, "web1")
    assert_serves(environment, served, "web2")
    environment.write()
    environment.fab("deploy")
    assert_serves(environment, version)


def test_with_on_failure_rollback_a_failing_hook_after_an_activation_rolls_back(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    environment.fab("deploy")
    served = environment.served("web1")["version"]
    commit_another_version(environment)
    problem = tmp_path / "problem"
    environment.write(
        hooks={
            "activate": {"after": [{"run": 'test "$WARPBEAM_HOST" != web1', "on": "here"}]},
            "deploy": {"failed": [{"run": f'printf %s "$WARPBEAM_PROBLEM" >{problem}'}]},
        }
    )

    failed = environment.fab("deploy", "--on-failure", "rollback", expect=4)

    assert "web1 was brought back to what ran before" in failed.stderr
    assert "a hook after activate" in problem.read_text()
    assert_serves(environment, served)


def test_ctrl_c_ends_a_hook_and_what_it_started_on_the_host(environment: LabEnvironment) -> None:
    environment.write(hooks={"restart": {"before": [{"run": "echo begun; sleep 4321", "on": "hosts"}]}})
    # At the first word of it the script has not begun on the host, at the second it runs.
    for sign in ("hook before restart", "│ begun"):
        with running_fab(environment, "restart", until=sign) as process:
            process.send_signal(signal.SIGINT)
            assert await_end(process)[0] == 130
        _assert_gone(environment)
    assert environment.status()["web1"]["health"] == "healthy"
    environment.fab("lock.release", "--force", expect=None)


def _assert_gone(environment: LabEnvironment) -> None:
    """The hook's process and the directory that it was in are no more; the bracket keeps the search from itself."""
    look = "pgrep -f '[s]leep 4321'; ls -A /home/deploy | grep warpbeam-hook"
    until = time.monotonic() + 60
    for host in ("web1", "web2"):
        while left := environment.lab.ssh(host, look, check=False, user="deploy").stdout:
            assert time.monotonic() < until, left
            time.sleep(0.3)
