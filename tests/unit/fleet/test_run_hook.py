"""Hooks, on this machine: their input, when they run, and the effects of their failure."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from warpbeam.error import Failed, Misuse, Problem
from warpbeam.event import Event, Line
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import HERE, LocalFleet
from warpbeam.inventory.hooks import Hook, Hooks
from warpbeam.inventory.read import read_inventory
from warpbeam.inventory.schema import Host, Inventory, Users

ODD = "$(touch owned) `touch owned` ; 'one' \"two\" \\ *\nnext line \t €"


def fleet(directory: Path, **hooks: tuple[Hook, ...]) -> LocalFleet:
    """Return this machine as the only host, with hooks around a deploy; its deploy user is the current user."""
    inventory = Inventory(
        org="acme",
        app="hello",
        hosts={"x": Host("x")},
        users=Users(deploy=getpass.getuser()),
        hooks={"deploy": Hooks(**hooks)},
    )
    return LocalFleet(msgspec.structs.replace(inventory, name="stage", file=directory / "stage.yml"))


def perform(made: LocalFleet, body: Any = lambda: None, **about: str) -> list[Event]:
    """Run `body` as a deploy; return the events."""
    told: list[Event] = []
    with around(made, "deploy", list(made.inventory.hosts.values()), told.append, {HERE: about}):
        body()
    return told


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def shell(text: str, **more: Any) -> Hook:
    """A hook that a shell runs."""
    return Hook(run=text, **more)


def test_hooks_run_before_and_after_and_their_output_is_reported_line_by_line(tmp_path: Path) -> None:
    made = fleet(
        tmp_path,
        before=(shell("echo before >>order; echo one; echo two >&2"), shell("echo second >>order", on="hosts")),
        after=(shell("echo after >>order"),),
    )
    # A hook on a host runs in the app's directory, or in the home directory where that does not exist yet.
    told = perform(made, lambda: (tmp_path / "order").open("a").write("deploy\n"))

    assert (tmp_path / "order").read_text() == "before\ndeploy\nafter\n"
    assert [event.text for event in told if isinstance(event, Line)] == ["one", "two"]


@pytest.mark.parametrize("on", ["here", "hosts"])
def test_a_hook_gets_values_in_its_environment_byte_for_byte_and_none_is_run(
    tmp_path: Path, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WARPBEAM_")]:
        monkeypatch.delenv(name)  # from the tests' own environment
    look = f"env -0 | grep -z ^WARPBEAM_ | sort -z >{tmp_path}/found; pwd >{tmp_path}/where"
    made = fleet(tmp_path, before=(shell(look, on=on),))

    perform(made, RELEASE="20261123T120000Z", VERSION=ODD, COMMIT="0123abcd", PREVIOUS="")

    found = dict(pair.split("=", 1) for pair in (tmp_path / "found").read_text().split("\0")[:-1])
    assert found == {
        "WARPBEAM_ENVIRONMENT": "stage",
        "WARPBEAM_ORG": "acme",
        "WARPBEAM_APP": "hello",
        "WARPBEAM_ROOT": "/opt/acme/hello",
        "WARPBEAM_PHASE": "deploy",
        "WARPBEAM_WHEN": "before",
        "WARPBEAM_HOST": HERE,
        "WARPBEAM_HOSTS": HERE,
        "WARPBEAM_RELEASE": "20261123T120000Z",
        "WARPBEAM_VERSION": ODD,
        "WARPBEAM_COMMIT": "0123abcd",
        "WARPBEAM_PREVIOUS": "",
        "WARPBEAM_PROBLEM": "",
    }
    assert not list(tmp_path.rglob("owned"))
    if on == "here":
        assert (tmp_path / "where").read_text() == f"{tmp_path}\n"


def test_a_failing_hook_before_a_phase_prevents_the_phase_and_shows_its_output(tmp_path: Path) -> None:
    made = fleet(
        tmp_path,
        before=(shell("echo no room; exit 3"), shell("touch never")),
        after=(shell("touch never"),),
        failed=(shell('printf %s "$WARPBEAM_PROBLEM" >problem'),),
    )
    begun: list[int] = []

    with pytest.raises(Failed) as caught:
        perform(made, lambda: begun.append(1))

    how = "localhost: echo no room; exit 3 ended with status 3"
    assert caught.value.message == f"{how} (a hook before deploy); deploy was not begun"
    # No details: the output was shown as it came.
    assert caught.value.details == ()
    assert caught.value.code == 4
    assert begun == []
    assert not (tmp_path / "never").exists()
    assert (tmp_path / "problem").read_text() == caught.value.message


def test_a_hook_after_that_fails_fails_the_command_and_says_that_the_phase_was_done(tmp_path: Path) -> None:
    made = fleet(tmp_path, after=(shell("false"),))

    with pytest.raises(Failed, match=r"false ended with status 1 \(a hook after deploy\); deploy itself was done, and"):
        perform(made)


def test_a_failing_phase_runs_only_the_hooks_for_that_and_shows_its_own_problem(tmp_path: Path) -> None:
    made = fleet(tmp_path, after=(shell("touch never"),), failed=(shell('echo "$WARPBEAM_PROBLEM" >problem; exit 1'),))

    def fail() -> None:
        raise Failed("web1: it said 500")

    with pytest.raises(Problem, match="web1: it said 500"):
        perform(made, fail)

    assert (tmp_path / "problem").read_text() == "web1: it said 500\n"
    assert not (tmp_path / "never").exists()


def test_a_script_runs_where_it_is_and_on_hosts_it_is_sent(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "tell.sh"
    script.write_text('#!/bin/bash\necho "$0"\nls -A "$HOME"\n')
    script.chmod(0o755)
    here, there = Hook(script=script), Hook(script=script, on="hosts")

    told = [event.text for event in perform(fleet(tmp_path, before=(here, there))) if isinstance(event, Line)]

    assert told[0] == str(script)
    assert told[2].startswith(f"{home}/.warpbeam-hook.")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("text", [b"echo\n", b"#!/bin/sh\n\0", b"#!/bin/sh\n\xff", None])
def test_a_script_that_cannot_be_sent_is_reported_with_its_place(tmp_path: Path, text: bytes | None) -> None:
    script = tmp_path / "tell.sh"
    if text is not None:
        script.write_bytes(text)

    with pytest.raises(Problem, match=r"stage\.yml: hooks: .*tell\.sh"):
        perform(fleet(tmp_path, before=(Hook(script=script, on="hosts"),)))


def test_a_hook_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    made = fleet(tmp_path, before=(shell("sleep 300 & echo $! >child; wait", timeout=1),))

    with pytest.raises(Failed, match="did not end within 1 s"):
        perform(made)

    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_hook_that_leaves_something_running_does_not_keep_us(tmp_path: Path) -> None:
    began = time.monotonic()
    perform(fleet(tmp_path, before=(shell("sleep 60 & echo $! >child"),)))

    assert time.monotonic() - began < 30
    os.kill(int((tmp_path / "child").read_text()), 9)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{deploi: {before: [{run: x}]}}", "hooks.deploi: expected"),
        ("{deploy: {befor: [{run: x}]}}", 'did you mean "before"'),
        ("{deploy: {before: [{}]}}", "expected exactly one of run and script, found neither"),
        ("{deploy: {before: [{run: x, script: y}]}}", "expected exactly one of run and script, found both"),
        ("{deploy: {before: [{run: x, on: root}]}}", 'expected "here" or "hosts"'),
    ],
)
def test_hooks_that_cannot_be_are_refused_with_their_place(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "stage.yml"
    file.write_text(f"org: acme\napp: hello\nhosts: {{web1: {{}}}}\nhooks: {written}\n")

    with pytest.raises(Misuse) as caught:
        read_inventory(file)

    assert said in caught.value.message
