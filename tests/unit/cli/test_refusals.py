"""Messages of commands that cannot begin: the real program, with hosts that do not exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from warpbeam.error import REFUSED, Problem, Refused, untouched

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An environment `shop` of two app hosts and a build host; nothing listens at their ports."""
    settings: dict[str, Any] = {
        "org": "acme",
        "app": "shop",
        "source": str(tmp_path),
        "hosts": {
            "web1": {"address": "127.0.0.1", "port": 1, "roles": ["app", "migrate"]},
            "web2": {"address": "127.0.0.1", "port": 2},
            "build1": {"address": "127.0.0.1", "port": 3, "roles": ["build"]},
        },
        "users": {"deploy": "warpbeam-nobody"},
    }
    (tmp_path / "mix.exs").touch()
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / ".git/info/exclude").write_text("*.yml")
    (tmp_path / "shop.yml").write_text(json.dumps(settings))
    return tmp_path


def assert_refused(inventory: Path, *words: str) -> tuple[str, str]:
    """Run `fab shop WORDS…`, which must be refused; return standard output and standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FABRIC_", "WARPBEAM_"))}
    done = subprocess.run(
        [Path(sys.executable).parent / "fab", "shop", *words],
        cwd=PROJECT,
        env={**clean, "WARPBEAM_INVENTORY": str(inventory)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "ENV" not in done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("verb", ["deploy", "rollback", "restart"])
def test_a_dead_host_names_the_options_that_leave_it_out(inventory: Path, verb: str) -> None:
    said = assert_refused(inventory, verb)[1].splitlines()

    assert said[-2] == (
        "error: web1 (127.0.0.1:1): refuses connections to port 1 (and 1 more: web2); nothing was changed on any host"
    )
    assert said[-1].startswith(
        "  hint: `--skip web1` goes on without it, `--skip-unreachable` without any that does not answer; is sshd"
    )


def test_a_dead_build_host_is_not_said_to_be_skippable(inventory: Path) -> None:
    assert "--skip" not in assert_refused(inventory, "build-on-host")[1]


def test_status_of_dead_hosts_is_refused_and_says_why_in_a_line_each(inventory: Path) -> None:
    assert assert_refused(inventory, "status")[0].splitlines()[-2:] == [
        "web1: refuses connections to port 1",
        "web2: refuses connections to port 2",
    ]


def test_a_machine_that_is_not_set_up_gets_a_hint(inventory: Path) -> None:
    said = assert_refused(inventory, "deploy.local")[1]

    assert "this machine is not set up to be deployed to: it has no user 'warpbeam-nobody'" in said
    assert "hint: `fab shop setup --local` sets it up, as root or with sudo; `fab shop deploy` goes to" in said


@pytest.mark.parametrize("verb", ["releases", "history", "secrets.list"])
def test_what_could_not_be_asked_of_any_host_is_not_told_as_if_it_had_been(inventory: Path, verb: str) -> None:
    said = "".join(assert_refused(inventory, verb))

    assert "web1: refuses connections" in said.replace(" (127.0.0.1:1)", "")
    assert "lacks" not in said


def test_what_is_the_same_of_every_host_is_said_once() -> None:
    def problems(*messages: str) -> dict[str, Problem]:
        return {f"web{number}": Refused(said, host=f"web{number}") for number, said in enumerate(messages, 1)}

    same = untouched(problems("it is held by ann", "it is held by ann"))
    other = untouched(problems("it is held by ann", "its disk is full"))

    assert same.message == "web1: it is held by ann (and 1 more: web2); nothing was changed on any host"
    assert (same.details, other.details) == ((), ("web2: its disk is full",))
    # A command that has changed hosts before it says so itself, and still names the others.
    assert same.sentence == "web1: it is held by ann (and 1 more: web2)"
    assert untouched({"": Refused("no host is chosen")}).sentence == "no host is chosen"


def test_a_question_to_a_node_of_an_unreachable_host_names_the_option_for_another(inventory: Path) -> None:
    _, said = assert_refused(inventory, "rpc", "1")
    assert "web1 (127.0.0.1:1): refuses connections to port 1" in said
    assert "`--host web2` asks another host" in said

    for chosen in (["--host", "web1"], ["--all"]):
        assert "asks another" not in assert_refused(inventory, "rpc", "1", *chosen)[1]
