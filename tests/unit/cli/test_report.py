"""Output for people and for programs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.cli.problem_text import problem_lines
from warpbeam.cli.report import Report
from warpbeam.cli.table import GAP, INDENT, LEAST, packed, table_lines
from warpbeam.error import Refused
from warpbeam.event import Event, Line, Note, Progress, Settled, Step, Warn

ROWS: list[dict[str, Any]] = [
    {"host": "web1", "memory": 26_100_000, "live": True, "health": "healthy"},
    {"host": "web10", "memory": 0, "live": False, "health": "", "problem": "runs, but is not live"},
    {"host": "web3", "problem": "web3 (10.0.0.3) did not answer within 10 s"},
    {"host": "web4", "problem": "nothing is live: deploy first"},
]


def test_rows_become_a_table_with_problems_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Report().table(ROWS)

    assert capsys.readouterr().out.splitlines() == [
        "host   memory   live  health",
        "web1   26.1 MB  yes   healthy",
        "web10           no",
        "  ^ runs, but is not live",
        "web3 (10.0.0.3) did not answer within 10 s",
        "web4: nothing is live: deploy first",
    ]


def test_the_same_rows_are_one_json_array_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    Report().table(ROWS, as_json=True)
    Report().table([], as_json=True)

    first, _, second = capsys.readouterr().out.rpartition("[")
    assert json.loads(first) == ROWS
    assert json.loads("[" + second) == []


def test_without_a_terminal_every_event_is_one_plain_line_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = Report()
    for event in (
        Step("web1", "upload"),
        Progress("web1", "upload", 1_000_000, 5_400_000),
        Progress("web1", "upload", 5_400_000, 5_400_000),
        Line("web1", "[red]not markup[/red] :smile:"),
        Note("", "a note of no host"),
        Warn("web1", "careful"),
        Settled("web1", "x" * 300),
    ):
        report.emit(event)
    report.close()

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "web1: upload",
        "web1: upload 5.4 MB",
        "web1: │ [red]not markup[/red] :smile:",
        "a note of no host",
        "web1: warning: careful",
        "web1: " + "x" * 300,
    ]


def test_hosts_output_is_whole_lines_each_with_its_host(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    report = Report()
    show = report.output(prefixed=True, labels={"web1": "web1", "build1": "build1"})

    show("web1", b"a ")
    show("build1", b"one\ntwo")
    show("web1", b"line\n\xff\n")
    report.close()

    # A program gets every byte unchanged.
    assert capsysbinary.readouterr().out.splitlines() == [
        b"build1 | one",
        b"web1   | a line",
        b"web1   | \xff",
        b"build1 | two",
    ]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(60, 200))
def test_a_table_shows_every_column_within_the_screen(widths: list[int], room: int) -> None:
    groups = packed(widths, room)

    assert [index for group in groups for index in group] == list(range(len(widths)))
    needs = [*widths[:-1], min(widths[-1], LEAST)]
    for number, group in enumerate(groups):
        indent = INDENT if number else 0
        assert indent + sum(needs[index] for index in group) + GAP * (len(group) - 1) <= room


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *events: Event) -> str:
    """Return the text that a report of these events writes to a terminal."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        report = Report()
        for event in events:
            report.emit(event)
        report.close()
    shown = ""
    # Linux raises EIO when the other end is closed and everything has been read.
    with contextlib.suppress(OSError):
        while piece := os.read(leader, 65536):
            shown += piece.decode()
    os.close(leader)
    return shown


def test_a_terminal_gets_a_live_line_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, Step("web1", "upload"), Settled("web1", "done"))

    assert "upload" in shown
    # The cursor that the live display hid is shown again.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "done" in shown


def test_who_watches_uploads_sees_how_far_each_is_and_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [Progress(host, "upload", 0, 3_000_000) for host in ("web1", "web2")]
    shown = on_a_terminal(monkeypatch, *begun, Progress("web1", "upload", 3_000_000, 3_000_000))

    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any("web1 upload 3.0 MB of 3.0 MB" in line for line in lines), lines
    assert any("web2 upload 0 B of 3.0 MB" in line for line in lines), lines
    assert any("all upload 3.0 MB of 6.0 MB" in line for line in lines), lines


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Warn("web1", "web1: its journal cannot be read"), "web1: warning: its journal cannot be read"),
        (Note("web1", "web1 (192.0.2.1): ssh-ed25519 SHA256:x"), "web1 (192.0.2.1): ssh-ed25519 SHA256:x"),
        (Note("web1", "jump (192.0.2.9): ssh-ed25519 SHA256:x"), "web1: jump (192.0.2.9): ssh-ed25519 SHA256:x"),
        (Settled("web1", "web10: is another"), "web1: web10: is another"),
    ],
)
def test_a_line_names_its_host_once(event: Event, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    Report().emit(event)

    assert capsys.readouterr().err == f"{shown}\n"


def test_hosts_of_which_nothing_is_known_take_no_column_and_hide_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    secret = {"secret": "TOKEN", "agree": True}
    away = {"host": "web2", "problem": "it did not answer"}

    Report().table([secret, away])
    Report().table([away])
    Report().table([])

    assert capsys.readouterr().out.splitlines() == [
        "secret  agree",
        "TOKEN   yes",
        "web2: it did not answer",
        "web2: it did not answer",
    ]


def test_a_process_that_is_none_has_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    Report().table([{"host": "web1", "pid": 0, "restarts": 0}])

    assert capsys.readouterr().out.splitlines()[1] == "web1       0"


def test_a_problem_is_shown_as_its_details_its_message_and_its_hint() -> None:
    problem = Refused("it is not set up", "`fab ENV setup`", ("a line of a journal",), host="web1")

    lines = problem_lines(problem, 0, lambda text: text.replace("fab ENV", "fab shop"))

    assert lines == ["  | a line of a journal", "error: web1: it is not set up", "  hint: `fab shop setup`"]
    assert max(map(len, problem_lines(Refused("many words " * 20), 60))) <= 60


def test_a_size_is_shown_with_its_unit_and_an_unknown_one_as_nothing() -> None:
    rows = [{"key": "a", "size": 5_415_314}, {"key": "b", "size": 0}]

    assert [*table_lines(rows, 80)] == ["key  size", "a    5.4 MB", "b"]
