"""Limits for hosts that never end: bytes, records, seconds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar

import msgspec
import paramiko
import pytest

from warpbeam.bound import Allowance, Breach, Complaints, Deadline
from warpbeam.cli.output import LONGEST_LINE, Output
from warpbeam.error import Lost, Refused
from warpbeam.host.phase import Phase
from warpbeam.host.record import Records
from warpbeam.host.run import run
from warpbeam.host.sudo import RootShell
from warpbeam.operate.backtrace import Backtrace
from warpbeam.shell import OnBytes
from warpbeam.ssh.transport import MOST_GREETING, MOST_PACKET, Prompt

MEGABYTE = 1 << 20


class Answer(msgspec.Struct, frozen=True):
    number: int


class Ask(Phase[Answer], frozen=True):
    script: ClassVar[str] = "operate/boot_id"
    answer: ClassVar[type] = Answer


class Look(Ask, frozen=True):
    @property
    def looks(self) -> bool:
        return True


class Says:
    """A shell whose command sends the given output, and ends when it is interrupted."""

    name = "web2"
    busy = False

    def __init__(self, out: Iterable[bytes] = (), err: Iterable[bytes] = (), *, hangs: bool = False) -> None:
        self.out, self.err, self.hangs = out, err, hangs
        self.interrupted = threading.Event()

    def open(self) -> None: ...
    def close(self) -> None: ...

    def interrupt(self) -> None:
        self.interrupted.set()

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        list(chunks)
        for piece in self.err:
            on_stderr(piece)
        for piece in self.out:
            on_stdout(piece)
        if self.hangs:
            assert self.interrupted.wait(60)
            raise Lost("web2: interrupted")
        return 0


def forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


ANSWER = b'\x1e{"answer":{"number":1}}\n'
# A shell whose host sends that output, and the message of the error.
ENDLESS: dict[str, tuple[Callable[[], Says], str]] = {
    "complaints": (lambda: Says(err=forever(b"x" * 65536)), "sent more than 8 MB on standard error"),
    "complaints, a byte each": (lambda: Says(err=[b"x" * 4096] * 3000), "sent more than 8 MB on standard error"),
    "a record": (lambda: Says(out=chain([b"\x1e"], forever(b"x" * 65536))), "sent a record of more than 4 MB"),
    "a record at once": (
        lambda: Says(out=[b"\x1e" + b"x" * (5 * MEGABYTE) + b"\n"]),
        "sent a record of more than 4 MB",
    ),
    "chatter": (lambda: Says(out=forever(b"x" * 65536)), "on standard output"),
    "chatter in lines": (lambda: Says(out=forever(b"x\n" * 32768)), "on standard output"),
    "notes": (lambda: Says(out=forever(b'\x1e{"note":"a"}\n' * 4096)), "sent more than 10000 records"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_ended_and_named(what: str) -> None:
    shell, message = ENDLESS[what]

    with pytest.raises(Refused, match=message) as looked:
        run(shell(), Look(), lambda event: None)

    assert looked.value.message.startswith("web2: boot id ")


@pytest.mark.parametrize("what", ["complaints", "a record"])
def test_what_may_have_changed_something_is_lost(what: str) -> None:
    shell, message = ENDLESS[what]

    with pytest.raises(Lost, match=message):
        run(shell(), Ask(), lambda event: None)


def test_a_host_that_only_looks_answers_in_time_or_is_refused() -> None:
    with pytest.raises(Refused, match=r"web2: boot id did not answer within 0\.1 s"):
        run(Says(hangs=True), Look(), lambda event: None, seconds=0.1)


def test_a_host_that_has_answered_is_believed_though_it_does_not_end() -> None:
    assert run(Says(out=[ANSWER], hangs=True), Look(), lambda event: None, seconds=0.1) == Answer(1)


def test_a_host_without_a_bound_is_waited_for() -> None:
    assert run(Says(out=[ANSWER]), Ask(), lambda event: None) == Answer(1)


def test_long_chatter_before_an_answer_is_passed_over() -> None:
    chatter = [b"x" * MEGABYTE] * 9

    assert run(Says(out=[*chatter, b"\n", ANSWER]), Look(), lambda event: None) == Answer(1)


def test_a_record_in_many_pieces_costs_no_more_than_one() -> None:
    records = Records()
    text = b'\x1e{"note":"' + b"x" * 200_000 + b'"}\n'

    found = [record for byte in text for record in records.feed(bytes([byte]))]

    assert [len(record["note"]) for record in found] == [200_000]


def test_of_complaints_the_last_are_kept() -> None:
    complaints = Complaints(most=1000, kept=10)
    for number in range(50):
        complaints(b"line %02d\n" % number)

    assert complaints.text == "7\nline 48\nline 49\n"[-10:]


@pytest.mark.parametrize(("most", "pieces", "fits"), [(10, [5, 5], True), (10, [5, 6], False), (0, [1], False)])
def test_an_allowance_is_exact(most: int, pieces: list[int], fits: bool) -> None:
    allowance = Allowance(most, "of it")
    try:
        for piece in pieces:
            allowance.take(piece)
    except Breach:
        assert not fits
    else:
        assert fits


def test_a_deadline_that_was_left_ends_nothing() -> None:
    ended = threading.Event()
    with Deadline(0.2, ended.set) as deadline:
        deadline.start()

    assert not ended.wait(0.5)
    assert not deadline.over


@pytest.mark.parametrize("prefixed", [True, False])
def test_a_line_without_an_end_is_shown_as_it_comes(prefixed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(prefixed=prefixed, error=False, labels={})
    text = "é" * LONGEST_LINE

    for start in range(0, 2 * LONGEST_LINE, 4099):
        output("web1", text.encode()[start : start + 4099])
    shown = capsys.readouterr().out
    output.flush()
    shown += capsys.readouterr().out

    assert "\ufffd" not in shown
    assert shown.count("é") == LONGEST_LINE
    assert prefixed or shown.removesuffix("\n") == text


def test_a_backtrace_without_an_end_is_shown_as_it_comes() -> None:
    shown: list[bytes] = []
    backtrace = Backtrace(shown.append)
    for _ in range(100):
        backtrace(b"x" * 10_000)

    assert sum(map(len, shown)) > 900_000


class Deaf(Says):
    """A shell whose command never reads its input."""

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        return super().execute(command, (), on_stdout, on_stderr)


def test_root_is_not_waited_for_in_endless_chatter() -> None:
    shell = RootShell(Deaf(out=forever(b"x" * 65536)), "secret")

    with pytest.raises(Breach, match="before it became root"):
        shell.execute("bash -s", (), lambda piece: None, lambda piece: None)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"x" * (2 * MOST_GREETING), lambda prompt: prompt.readline(5)),
        (b"x", lambda prompt: prompt.read_all(MOST_PACKET + 1)),
    ],
)
def test_a_server_that_greets_or_sends_without_an_end_is_left(sent: bytes, read: Callable[[Any], Any]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        writer = threading.Thread(target=lambda: _send(theirs, sent), daemon=True)
        writer.start()

        with pytest.raises(paramiko.SSHException):
            read(Prompt(ours))


def _send(where: socket.socket, what: bytes) -> None:
    try:
        where.sendall(what)
    except OSError:
        return
