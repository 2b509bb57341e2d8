"""The number of commands that a task runs on a host over ssh, counted by the host's own sshd, which logs each."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.assertions import APP_HOSTS, assert_serves, commit_another_version
from tests.environment import LabEnvironment
from warpbeam.deploy.lock import RENEW_EVERY

# sshd's log level VERBOSE has a line for each `exec` request that it grants (sshd_config(5), session.c).
EXEC = "Starting session: command for "
VERBOSE = "/etc/ssh/sshd_config.d/verbose.conf"


@pytest.fixture(scope="module", autouse=True)
def verbose(environment: LabEnvironment) -> Iterator[None]:
    """Every sshd of the app hosts logs each command."""
    for host in APP_HOSTS:
        environment.lab.ssh(host, f"echo LogLevel VERBOSE | sudo tee {VERBOSE} && sudo systemctl reload ssh")
    yield
    for host in APP_HOSTS:
        environment.lab.ssh(host, f"sudo rm {VERBOSE} && sudo systemctl reload ssh")


@contextmanager
def counting(environment: LabEnvironment) -> Iterator[Callable[[], Counter[str]]]:
    """Call it for the commands that sshd began on each app host since, by user: `web1 deploy`; less our own."""
    marks = {host: f"mark-{time.time_ns()}" for host in APP_HOSTS}
    for host, mark in marks.items():
        environment.lab.ssh(host, f"logger -t counting {mark}")

    def counted() -> Counter[str]:
        found: Counter[str] = Counter()
        for host, mark in marks.items():
            script = f"journalctl --sync; journalctl --boot --no-pager --output=cat | sed '1,/{mark}/d'"
            said = environment.lab.ssh(host, f"sudo sh -c {shlex.quote(script)}").stdout
            users = [line.partition(EXEC)[2].split()[0] for line in said.splitlines() if EXEC in line]
            found.update(f"{host} {user}" for user in users if user != "admin")
        return found

    yield counted


@contextmanager
def assert_commands(environment: LabEnvironment, requests: dict[str, int]) -> Iterator[None]:
    """Fail unless these commands are run meanwhile, and one more for each renewal of a lease."""
    began = time.monotonic()
    with counting(environment) as counted:
        yield
        renewals = int((time.monotonic() - began) // RENEW_EVERY)
        found = counted()
    assert found.keys() == requests.keys()
    for who, least in requests.items():
        assert least <= found[who] <= least + renewals, (who, found, renewals)


def test_a_deploy_needs_five_requests_where_it_migrates_and_fewer_on_the_last_hosts(
    environment: LabEnvironment,
) -> None:
    version = commit_another_version(environment)
    # The artifact is built already; a build asks every host once more, before it takes its minutes.
    environment.fab("build-on-host")

    # claim, upload, migrate, activate, finish; web2 comes last, and finishes in the request of its activation.
    with assert_commands(environment, {"web1 deploy": 5, "web2 deploy": 3}):
        environment.fab("deploy")
    assert_serves(environment, version)

    with assert_commands(environment, {"web1 deploy": 4, "web2 deploy": 3}):
        environment.fab("deploy", "--ref", "HEAD~1", "--batch", "100%")
    assert {row["lock"] for row in json.loads(environment.fab("lock.status", "--json").stdout)} == {"free"}


def test_a_deploy_that_builds_asks_each_host_once_before(environment: LabEnvironment) -> None:
    (environment.source / "priv" / "stamp").write_text(str(time.time_ns()))
    environment.commit("a release that nobody has built")

    with assert_commands(environment, {"web1 deploy": 6, "web2 deploy": 4}):
        environment.fab("deploy")


def test_with_nothing_to_upload_four_requests_are_enough_or_three(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)
    environment.fab("deploy")

    # claim, verify, activate, finish.
    with assert_commands(environment, {"web1 deploy": 4, "web2 deploy": 3}):
        environment.fab("restart")

    environment.fab("-H", "web2", "rollback")
    # web1 runs it already: it only gives its lock back.
    with assert_commands(environment, {"web1 deploy": 2, "web2 deploy": 3}):
        environment.fab("deploy", "--no-migrate")
    assert_serves(environment, version)


def test_a_status_is_one_request(environment: LabEnvironment) -> None:
    with counting(environment) as counted:
        environment.fab("status")

    assert counted() == {"web1 deploy": 1, "web2 deploy": 1}
