"""The app's journal, from all hosts at once."""

from __future__ import annotations

import contextlib
import functools
import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import IO

from warpbeam.error import Lost, Misuse, Problem, Refused
from warpbeam.event import Emit, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import gravest_problem
from warpbeam.inventory.schema import Host
from warpbeam.limit import MEGABYTE, MOST_JOURNAL, Allowance, Breach, Complaints, Deadline
from warpbeam.operate.node import call_helper, logs_input

# Bytes of a host's journal that are kept in memory, and bytes of the longest line that is shown whole.
IN_MEMORY = MEGABYTE
LONGEST_LINE = MEGABYTE
# Factor on the time that other answers may take: a journal may have to be searched.
LONGER = 5
FEWER = "ask for fewer lines: --lines, --since; `ssh: answer_timeout:` bounds the wait"
# The time of lines that come before any line with a time.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def show_logs(
    fleet: Fleet,
    show: Callable[[str, bytes], None],
    emit: Emit,
    *,
    follow: bool = False,
    lines: str = "",
    since: str = "",
    grep: str = "",
    slot: str = "",
) -> None:
    """Show journal lines of every app host: merged by time, or with `follow` as they come.

    Raises:
        Misuse: an argument has an invalid value.
        Refused: a host's journal cannot be read; the journals of the others were shown.
    """
    if lines and not (lines.isdigit() and len(lines) <= 6):
        raise Misuse(f"--lines {lines}: expected a number of lines")
    count = int(lines) if lines else None if since else 100
    text = logs_input(count, since, grep, slot, follow=follow)
    hosts = fleet.inventory.some_app_hosts()
    # A journal may be long: what does not fit into memory goes to a file, and is read back line by line.
    journals = {host.name: tempfile.SpooledTemporaryFile(IN_MEMORY) for host in hosts}  # noqa: SIM115 (ends with us)
    seconds = None if follow else fleet.inventory.ssh.answer_timeout * LONGER

    def one(host: Host) -> None:
        complaints = Complaints()
        kept, allowed = journals[host.name], Allowance(MOST_JOURNAL, "of its journal")

        def keep(piece: bytes) -> None:
            allowed.take(len(piece))
            kept.write(piece)

        hear = functools.partial(show, host.name) if follow else keep
        shell = fleet.shell(host)
        try:
            try:
                with Deadline(seconds, shell.interrupt) as deadline:
                    shell.open()
                    deadline.start()
                    status = call_helper(fleet, host, "logs", text, hear, complaints, follow=follow)
            except Breach as breach:
                raise Refused(f"{breach}; it was ended", FEWER, host=host.name) from None
            except Lost:
                if not deadline.over:
                    raise
            if deadline.over:
                raise Refused(f"its journal did not end within {seconds:g} s; it was ended", FEWER, host=host.name)
            if fleet.interrupted:
                return  # we ended it ourselves
            said = complaints.text.strip()
            # journalctl exits with 1 when a pattern matches nothing, and on an error; only an error has a message.
            if status != 0 and ("Failed to parse timestamp" in said or "the time holds" in said):
                raise Misuse(f"--since {since}: {said}", "as journalctl(1) takes it: `10 min ago`, `2026-11-23 12:00`")
            if status != 0 and "Bad pattern" in said:
                raise Misuse(f"--grep {grep}: {said}", "expected a pattern as pcre2pattern(3) has it")
            if status != 0 and (said or status != 1):
                raise Refused(f"its journal cannot be read: {said or f'status {status}'}", host=host.name)
        except Problem as problem:
            if follow and not fleet.interrupted:
                # The journals of the others go on, so the raised problem would appear only at their end.
                emit(Warn(host.name, problem.message))
            raise

    fleet.jobs = max(fleet.jobs, len(hosts)) if follow else fleet.jobs
    results = fleet.everywhere(hosts, one)
    for name, line in by_time({name: whole_lines(kept) for name, kept in journals.items()}):
        show(name, line + b"\n")
    if gravest := gravest_problem(results):
        raise gravest


def whole_lines(kept: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, from its beginning, without line ends; a line longer than LONGEST_LINE in pieces."""
    kept.seek(0)
    while line := kept.readline(LONGEST_LINE):
        yield line.removesuffix(b"\n")


def by_time(journals: Mapping[str, Iterable[bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of all hosts, each with its host, in order of the times that they begin with (`short-iso`)."""

    def timed(name: str, lines: Iterable[bytes]) -> Iterator[tuple[datetime, str, bytes]]:
        time = LONG_AGO
        for line in lines:
            # The further lines of a message begin with blanks: they stay with its first line.
            with contextlib.suppress(ValueError):
                time = datetime.fromisoformat(line.partition(b" ")[0].decode("ascii")).astimezone(UTC)
            yield time, name, line

    merged = heapq.merge(*(timed(name, lines) for name, lines in journals.items()), key=lambda item: item[0])
    return ((name, line) for _, name, line in merged)
