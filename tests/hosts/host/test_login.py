"""Logins whose shell does not run what it is sent: named, and nothing is run by halves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.environment import LabEnvironment

HOST = "web1"
SAID = "web1: the login did not run what was sent"


@contextmanager
def startup(environment: LabEnvironment, line: str) -> Iterator[None]:
    """Begin the deploy user's ~/.bashrc with that line meanwhile."""
    write = f"cp .bashrc .bashrc.mine && {{ echo {shlex.quote(line)}; cat .bashrc.mine; }} >.bashrc"
    environment.lab.ssh(HOST, write, "deploy")
    try:
        yield
    finally:
        environment.lab.ssh(HOST, "sudo mv ~deploy/.bashrc.mine ~deploy/.bashrc")


@contextmanager
def shell_of(environment: LabEnvironment, shell: str) -> Iterator[None]:
    """Make that the deploy user's login shell meanwhile."""
    environment.lab.ssh(HOST, f"sudo usermod --shell {shell} deploy")
    try:
        yield
    finally:
        environment.lab.ssh(HOST, "sudo usermod --shell /bin/bash deploy")


def assert_doctor_finds(environment: LabEnvironment, what: str) -> None:
    """Fail unless `doctor` says of the login that."""
    rows = json.loads(environment.fab("doctor", "--json", expect=5).stdout)
    found = next(row for row in rows if (row["host"], row["check"]) == (HOST, "ssh"))
    assert not found["ok"]
    assert what in found["found"]
    assert "~/.bashrc" in found["mend"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("exit 0", "(status 0)"),
        ("exec dash", "(status 96)"),
        ("read x", "(status 96): something read from its standard input before"),
        ("cat >/dev/null", "(status 96): something read from its standard input before"),
        ("set -e; false", "(status 1)"),
        ("exec >/dev/null", "(status 95): its standard output is a file or a device"),
    ],
)
def test_what_stands_in_the_way_of_a_login_is_reported_and_found_by_doctor(
    environment: LabEnvironment, line: str, why: str
) -> None:
    with startup(environment, line):
        failed = environment.fab("deploy", expect=3)
        told = environment.fab("status", expect=3)
        assert_doctor_finds(environment, why)
    for said in (failed.stderr, told.stdout + told.stderr):
        assert f"the login did not run what was sent {why}" in " ".join(said.split())
    assert "~/.bashrc" in failed.stderr
    assert environment.status()[HOST]["health"] == "healthy"


@pytest.mark.parametrize("line", ["echo noise", "echo noise >&2", "trap 'echo bye' EXIT", "export BASH_ENV=~/.bashrc"])
def test_a_login_that_only_talks_is_no_hindrance(environment: LabEnvironment, line: str) -> None:
    with startup(environment, line):
        assert environment.status()[HOST]["health"] == "healthy"
        said = environment.fab("rpc", "1 + 1", "--host", HOST).stdout
    # Its last output cannot be distinguished from the script's.
    assert said == ("2\nbye\n" if "trap" in line else "2\n")


def test_a_login_shell_that_refuses_is_shown_with_what_it_says(environment: LabEnvironment) -> None:
    with shell_of(environment, "/usr/sbin/nologin"):
        failed = environment.fab("deploy", expect=3)
        assert_doctor_finds(environment, "the login did not run what was sent (status 1)")
    assert SAID in failed.stderr
    assert "This account is currently not available." in failed.stderr


def test_any_shell_that_passes_a_command_on_will_do(environment: LabEnvironment) -> None:
    with shell_of(environment, "/bin/dash"):
        assert environment.status()[HOST]["health"] == "healthy"
