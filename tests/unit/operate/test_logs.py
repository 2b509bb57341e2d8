"""Merging the journals of several hosts."""

from __future__ import annotations

from warpbeam.operate.logs import by_time


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
