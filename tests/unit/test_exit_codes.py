"""Exit codes: one table, which docs/exit-codes.md shows, and the exit codes of `status` for monitoring."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from warpbeam import error
from warpbeam.error import AMISS, DONE, EXIT_CODES, FAILED, REFUSED, Lost, Problem, Unreachable
from warpbeam.host.facts import About, HelperAnswer, Instance, Release
from warpbeam.operate.status import AppStatus, differing, judged

PROJECT = Path(__file__).parents[2]


def says(**slot_a: Any) -> HelperAnswer:
    """Return the answer of the privileged helper about an instance in slot a."""
    slots = {"a": Instance(**slot_a)} if slot_a else {}
    return HelperAnswer(version="10", activating=False, maintenance=False, slots=slots)


WELL = AppStatus(says(pid=7), "a", {"a": "20261123T120000Z"}, "healthy", (), None)
STOPPED = AppStatus(says(pid=0), "a", {"a": "20261123T120000Z"}, "no answer", (), None)
CRASHING = [
    AppStatus(says(**words), "a", {"a": "20261123T120000Z"}, said, (), None)
    for words, said in (
        ({"substate": "running", "pid": 7, "restarts": 7, "age": 2, "ended_ago": 3}, "healthy"),
        ({"substate": "auto-restart", "ended_ago": 1}, "no answer"),
        ({"substate": "running", "pid": 7, "restarts": 1, "age": 59, "ended_ago": 60}, "healthy"),
    )
]
CALM = AppStatus(
    says(substate="running", pid=7, restarts=1, age=60, ended_ago=61), "a", {"a": "R"}, "healthy", (), None
)
EMPTY = AppStatus(says(), "", {}, "", (), None)
AWAY = Unreachable("web2 (192.0.2.2) did not answer within 10 s")


def test_the_page_of_exit_codes_shows_the_table_that_the_program_has() -> None:
    text = (PROJECT / "docs" / "exit-codes.md").read_text()

    assert {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)} == EXIT_CODES


def test_every_kind_of_problem_has_a_code_of_the_table() -> None:
    kinds = [kind for kind in vars(error).values() if isinstance(kind, type) and issubclass(kind, Problem)]

    assert len(kinds) > 5
    assert {kind.code for kind in kinds} <= set(EXIT_CODES)


def test_no_module_has_an_exit_code_of_its_own() -> None:
    for file in (*PROJECT.glob("tasks/*.py"), *PROJECT.glob("warpbeam/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code":
                assert not isinstance(node.value, ast.Constant), f"{file}:{node.value.lineno}"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([WELL, WELL], DONE),
        ([WELL, STOPPED], AMISS),
        *(([WELL, state], AMISS) for state in CRASHING),
        ([WELL, CALM], DONE),
        ([STOPPED, STOPPED], AMISS),
        ([WELL, EMPTY], AMISS),
        ([WELL, AWAY], REFUSED),
        ([STOPPED, AWAY], AMISS),
        ([WELL, AWAY, Lost("web3: the connection ended in the middle")], FAILED),
    ],
)
def test_status_answers_whether_all_is_well(found: list[AppStatus | Problem], code: int) -> None:
    assert judged({f"web{number}": state for number, state in enumerate(found)}) == code


def runs(version: str) -> AppStatus:
    name = "20261123T120000Z"
    releases = (Release(name, "healthy", About(version, "c0ffee00" * 5)),)
    return AppStatus(says(), "a", {"a": name, "b": ""}, "healthy", releases, None)


def test_hosts_that_run_different_releases_are_reported_by_what_they_run() -> None:
    assert differing({"web1": runs("1.0"), "web2": runs("1.0"), "web3": AWAY, "web4": EMPTY}) == ""
    assert differing({"web1": runs("1.0"), "web2": runs("1.1"), "web3": runs("1.0")}) == (
        "hosts run different releases: 1.0 (c0ffee00) on web1, web3; 1.1 (c0ffee00) on web2"
    )


def test_what_ends_by_itself_is_not_healthy_until_it_has_run_for_a_minute() -> None:
    assert [state.verdict for state in CRASHING] == [
        "it ended by itself 7 times, last 3 s ago",
        "it ended by itself once, last 1 s ago; no answer",
        "it ended by itself once, last 60 s ago",
    ]
    assert (CALM.verdict, WELL.verdict, STOPPED.verdict) == ("healthy", "healthy", "no answer")
    # A rollout checks instances that it has just started: for those, one crash is too many.
    assert CALM.trouble == "it ended by itself, and systemd started it again"
