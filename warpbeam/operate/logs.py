"""The app's journal, from all hosts at once."""

from __future__ import annotations

import contextlib
import functools
import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO

import msgspec

from warpbeam.bound import MEGABYTE, MOST_JOURNAL, Allowance, Breach, Complaints, Deadline
from warpbeam.error import Lost, Misuse, Problem, Refused
from warpbeam.event import Emit, Note, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import raise_gravest
from warpbeam.inventory.schema import Host
from warpbeam.operate.converse import call_helper

# Bytes of a host's journal that are kept in memory, and bytes of the longest line that is shown whole.
IN_MEMORY = MEGABYTE
LONGEST_LINE = MEGABYTE
# Characters of the longest time or pattern; the privileged helper takes no longer ones.
LONGEST_WORD = 250
# Factor on the time that other answers may take: a journal may have to be searched.
LONGER = 5
FEWER = "ask for fewer lines: --lines, --since; `ssh: answer_timeout:` bounds the wait"
# The time of lines that come before any line with a time.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Query(msgspec.Struct, frozen=True):
    """The lines of a journal that a person asks for; `count` None: all of them."""

    count: int | None = 100
    since: str = ""
    grep: str = ""
    slot: str = ""
    follow: bool = False

    @property
    def text(self) -> str:
        """The input of the privileged helper's `logs`."""
        count = "" if self.count is None else str(self.count)
        return "\n".join([count, self.since, self.grep, self.slot, "yes" if self.follow else "no", ""])

    @property
    def nothing(self) -> str:
        """A sentence for a journal without such lines."""
        asked = (("--grep", self.grep), ("--since", self.since), ("--slot", self.slot))
        options = " ".join(f"{name} {value}" for name, value in asked if value)
        return f"no line matches {options}" if options else "the journal has no line of the app"


def parse_query(*, lines: str = "", since: str = "", grep: str = "", slot: str = "", follow: bool = False) -> Query:
    """Return the query of the options of `logs`. Raises: Misuse, where one has an invalid value."""
    if lines and not (lines.isdigit() and len(lines) <= 6):
        raise Misuse(f"--lines {lines}: expected a number of lines")
    if slot not in ("", "a", "b"):
        raise Misuse(f"--slot {slot}: expected a or b")
    if "\n" in since + grep or max(len(since), len(grep)) > LONGEST_WORD:
        raise Misuse(f"--since and --grep take one line of at most {LONGEST_WORD} characters")
    return Query(int(lines) if lines else None if since else Query().count, since, grep, slot, follow)


def show_logs(fleet: Fleet, query: Query, show: Callable[[str, bytes], None], emit: Emit) -> None:
    """Show journal lines of every app host: merged by time, or with `follow` as they come.

    Raises:
        Misuse: journalctl does not take a value of the query.
        Refused: a host's journal cannot be read; the journals of the others were shown.
    """
    hosts = fleet.inventory.some_app_hosts()
    if query.follow:
        _follow(fleet, hosts, query, show, emit)
    else:
        _show_merged(fleet, hosts, query, show, emit)


def _follow(fleet: Fleet, hosts: Sequence[Host], query: Query, show: Callable[[str, bytes], None], emit: Emit) -> None:
    def one(host: Host) -> None:
        try:
            read_journal(fleet, host, query, functools.partial(show, host.name))
        except Problem as problem:
            if not fleet.interrupted:
                # The journals of the others go on, so the raised problem would appear only at their end.
                emit(Warn(host.name, problem.message))
            raise

    fleet.jobs = max(fleet.jobs, len(hosts))
    raise_gravest(fleet.everywhere(hosts, one))


def _show_merged(
    fleet: Fleet, hosts: Sequence[Host], query: Query, show: Callable[[str, bytes], None], emit: Emit
) -> None:
    seconds = fleet.inventory.ssh.answer_timeout * LONGER
    # A journal may be long: what does not fit into memory goes to a file, and is read back line by line.
    journals = {host.name: tempfile.SpooledTemporaryFile(IN_MEMORY) for host in hosts}  # noqa: SIM115 (ends with us)

    def one(host: Host) -> None:
        kept, allowed = journals[host.name], Allowance(MOST_JOURNAL, "of its journal")

        def keep(piece: bytes) -> None:
            allowed.take(len(piece))
            kept.write(piece)

        read_journal(fleet, host, query, keep, seconds)

    results = fleet.everywhere(hosts, one)
    shown = False
    for name, line in by_time({name: whole_lines(kept) for name, kept in journals.items()}):
        show(name, line + b"\n")
        shown = True
    raise_gravest(results)
    if not shown:
        emit(Note("", query.nothing))


def read_journal(
    fleet: Fleet, host: Host, query: Query, take: Callable[[bytes], None], seconds: float | None = None
) -> None:
    """Pass on a host's journal in pieces, until it ends; after `seconds` from the opened connection, end it.

    Raises:
        Misuse: journalctl does not take a value of the query.
        Refused: the journal cannot be read, is longer than allowed, or did not end in time.
    """
    complaints = Complaints()
    shell = fleet.shell(host)
    try:
        with Deadline(seconds, shell.interrupt) as deadline:
            shell.open()
            deadline.start()
            status = call_helper(fleet, host, "logs", query.text, take, complaints, follow=query.follow)
    except Breach as breach:
        raise Refused(f"{breach}; it was ended", FEWER, host=host.name) from None
    except Lost:
        if not deadline.over:
            raise
    if deadline.over:
        raise Refused(f"its journal did not end within {seconds:g} s; it was ended", FEWER, host=host.name)
    # A status that an interrupt of ours caused says nothing.
    if not fleet.interrupted:
        check_end(status, complaints.text.strip(), query, host)


def check_end(status: int, said: str, query: Query, host: Host) -> None:
    """Check how a host's journalctl ended, from its exit status and its standard error. Raises: as `read_journal`."""
    # journalctl exits with 1 when a pattern matches nothing, and on an error; only an error has a message.
    if status == 0 or (status == 1 and not said):
        return
    if "Failed to parse timestamp" in said or "the time holds" in said:
        raise Misuse(f"--since {query.since}: {said}", "as journalctl(1) takes it: `10 min ago`, `2026-11-23 12:00`")
    if "Bad pattern" in said:
        raise Misuse(f"--grep {query.grep}: {said}", "expected a pattern as pcre2pattern(3) has it")
    raise Refused(f"its journal cannot be read: {said or f'status {status}'}", host=host.name)


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
