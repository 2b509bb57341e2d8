"""Queries for journals, and merging the journals of several hosts."""

from __future__ import annotations

import pytest

from warpbeam.error import Misuse, Problem, Refused
from warpbeam.inventory.schema import Host
from warpbeam.operate.logs import Query, by_time, check_end, parse_query


def test_lines_are_merged_by_time_and_a_message_stays_in_one_piece() -> None:
    journals = {
        "web1": [
            b"2026-11-23T06:00:01+0000 web1 hello[1]: first",
            b"                                      2026-11-23 is in its second line",
            b"2026-11-23T06:00:05+0000 web1 hello[1]: last",
        ],
        # Two seconds after the first line, in a time zone one hour ahead.
        "web2": [b"-- Boot 1 --", b"2026-11-23T07:00:03+0100 web2 hello[1]: between"],
    }

    merged = [(name, line.split()[-1]) for name, line in by_time(journals)]
    assert merged == [("web2", b"--"), ("web1", b"first"), ("web1", b"line"), ("web2", b"between"), ("web1", b"last")]


def test_a_query_has_a_hundred_lines_unless_a_number_or_a_time_bounds_them() -> None:
    assert parse_query().text == "100\n\n\n\nno\n"
    assert (
        parse_query(lines="7", since="1 h ago", grep="err", slot="a", follow=True).text == "7\n1 h ago\nerr\na\nyes\n"
    )
    assert parse_query(since="1 h ago").count is None


def test_a_journal_without_such_lines_is_said_with_what_was_asked_for() -> None:
    assert Query(grep="boom", slot="a").nothing == "no line matches --grep boom --slot a"
    assert Query().nothing == "the journal has no line of the app"


@pytest.mark.parametrize(
    ("option", "value"),
    [("lines", "many"), ("lines", "1234567"), ("slot", "c"), ("since", "a\nb"), ("grep", "x" * 251)],
)
def test_an_option_of_logs_with_an_invalid_value_is_refused_before_any_host_is_asked(option: str, value: str) -> None:
    with pytest.raises(Misuse, match=f"--{option}"):
        parse_query(**{option: value})  # type: ignore[arg-type]


def test_a_pattern_that_matches_nothing_is_no_problem_and_an_error_names_its_option() -> None:
    web1 = Host(name="web1")
    check_end(1, "", Query(), web1)
    for said, message in {
        "Failed to parse timestamp: x": "--since x: Failed",
        "Bad pattern": "--grep [(]: Bad pattern",
        "no journal": "web1: its journal cannot be read: no journal",
    }.items():
        with pytest.raises(Problem, match=message):
            check_end(1, said, Query(since="x", grep="("), web1)
    with pytest.raises(Refused, match="status 2"):
        check_end(2, "", Query(), web1)
