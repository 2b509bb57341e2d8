"""Sentences on a narrow screen."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from warpbeam.cli.report import Report
from warpbeam.cli.screen import folded, room_on
from warpbeam.cli.table import table_lines
from warpbeam.event import Line, Note, Progress, Settled, Step

HINT = "  hint: `--skip web1` goes on without it; is the host up, its address right? `fab shop status --json` shows it"


def test_a_sentence_is_broken_between_words_and_never_in_a_command() -> None:
    assert folded(HINT, 60, "    ").splitlines() == [
        "  hint: `--skip web1` goes on without it; is the host up,",
        "    its address right? `fab shop status --json` shows it",
    ]
    assert "`fab shop status --json`" in folded(HINT, 30)
    assert folded(HINT, 0) == HINT


@given(st.text(st.sampled_from("ab `"), max_size=200), st.integers(20, 100))
def test_nothing_is_lost_by_breaking(text: str, room: int) -> None:
    assert re.sub(r"\s+", "", folded(text, room)) == re.sub(r"\s+", "", text)


def test_what_is_no_terminal_has_no_edge() -> None:
    assert room_on(io.StringIO()) == 0


def shown(*events: object, width: int = 80) -> str:
    """Return what a report sends to a terminal of that width, without control sequences."""
    report = Report()
    written = io.StringIO()
    report.console = Console(file=written, force_terminal=True, width=width, no_color=True)
    for event in events:
        report.emit(event)  # type: ignore[arg-type]
    report.close()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())


def test_on_a_terminal_sentences_keep_within_the_edge_and_journals_are_left_alone() -> None:
    words = "a sentence of many words " * 8
    journal = "x " * 60

    told = shown(Settled("web1", words), Note("", words), Line("web1", journal)).splitlines()

    assert max(len(line) for line in told if "x" not in line) <= 80
    assert f"web1: │ {journal}".rstrip() in [line.rstrip() for line in told]


def test_a_file_that_is_only_shown_is_folded_between_words() -> None:
    told = shown(Line("", f"  key: {'word ' * 20}", folds=True)).splitlines()

    assert max(map(len, told)) <= 80
    assert told[0].startswith("│   key: word word")
    assert told[1].startswith("│   word")


def test_the_last_column_of_a_table_is_folded_between_words() -> None:
    rows = [{"host": "web1", "subject": "one two three four five six seven"}, {"host": "web2", "subject": "x" * 40}]

    assert list(table_lines(rows, 30)) == [
        "host  subject",
        "web1  one two three four five",
        "      six seven",
        f"web2  {'x' * 23}…",
    ]


def test_on_a_terminal_a_problem_of_a_row_keeps_within_the_edge(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    problem = "expected the filter of the inventory, found none: run firewall.apply; " * 3

    Report().table([{"host": "web1", "live": "a", "problem": problem}])

    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 60
    assert told[2].startswith("  ^ expected the filter")
    assert told[3].startswith("    ")


def test_a_transfer_that_has_ended_has_no_time_left() -> None:
    report = Report()
    report.console = Console(file=io.StringIO(), force_terminal=True, width=80)
    report.emit(Step("build1", "mix release"))
    report.emit(Progress("build1", "download", 1, 2_000_000))
    report._live._transfers._of["build1"].began -= 2
    report._live._last.clear()
    report.emit(Progress("build1", "download", 1_000_000, 2_000_000))
    assert "s left" in report._live._now["build1"]

    report.emit(Progress("build1", "download", 2_000_000, 2_000_000))

    assert report._live._now["build1"].startswith("download 2.0 MB of 2.0 MB at ")
    assert "left" not in report._live._now["build1"]
    report.close()
