"""The benchmark's own instruments: relay, measurement, ratios, plot."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench import measurement
from bench.measurement import Broken, Command, adopt_orphans, measure
from bench.option import read_options
from bench.plot import plot
from bench.result import Row, Sheet, merged, summaries
from bench.table import table

DELAY = 0.1


def row(peer: str, seconds: float, repetition: int = 0, hosts: int = 10) -> Row:
    return Row(
        hosts=hosts,
        case="change",
        app="instant",
        network="loopback",
        peer=peer,
        version="1",
        repetition=repetition,
        at="2026-11-23T09:00:00Z",
        load=1.0,
        seconds=seconds,
        processor=0.5,
        peak=50_000_000,
        sent=600_000,
        received=400_000,
        there=1.5,
    )


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that greets, and sends back what it receives."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                # A client that leaves with unread bytes resets the connection.
                with client, suppress(OSError):
                    client.sendall(b"hello\n")
                    while piece := client.recv(1 << 16):
                        client.sendall(piece)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relayed(echo: int) -> Iterator[int]:
    """The same server behind a relay that takes DELAY seconds each way."""
    argv = (sys.executable, "-m", "bench.relay", str(DELAY), f"127.0.0.1:{echo}")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        yield int(relay.stdout.readline())
        relay.terminate()


def test_the_relay_delays_a_greeting_by_two_round_trips_and_an_answer_by_one(relayed: int) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", relayed)) as client:
        assert client.recv(100) == b"hello\n"
        greeted = time.monotonic()
        client.sendall(b"who is there?")
        assert client.recv(100) == b"who is there?"
        answered = time.monotonic()

    # Never earlier; how much later depends only on the machine.
    assert greeted - began >= 4 * DELAY
    assert answered - greeted >= 2 * DELAY


def test_the_relay_carries_megabytes_whole_without_a_round_trip_for_each_piece(relayed: int) -> None:
    content = bytes(range(256)) * 40_000
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", relayed)) as client:
        threading.Thread(target=_send_all, args=(client, content)).start()
        got = bytearray()
        while piece := client.recv(1 << 16):
            got += piece

    assert bytes(got) == b"hello\n" + content
    # With a round trip for each piece it would take 31 s.
    assert time.monotonic() - began < 15


def _send_all(client: socket.socket, content: bytes) -> None:
    client.sendall(content)
    client.shutdown(socket.SHUT_WR)


def test_a_measurement_counts_memory_of_children_and_of_what_detaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt_orphans()
    # On a busy machine a look takes long; with more thrift the next would come after all processes have ended.
    monkeypatch.setattr(measurement, "THRIFT", 1)
    hold = "import time; held = b'x' * 60_000_000; time.sleep(4)"
    # Two processes hold 60 MB each: one is an orphan, since its shell has ended; the shell waits for the other.
    argv = ("sh", "-c", '(setsid "$0" -c "$1" &); "$0" -c "$1"', sys.executable, hold)

    reading = measure(Command(argv, tmp_path), (), (), tmp_path / "log")

    assert reading.peak > 120_000_000
    assert reading.seconds > 3.9


def test_a_measurement_leaves_nothing_running(tmp_path: Path) -> None:
    adopt_orphans()
    mark = f"bench-{tmp_path.name}-{time.time_ns()}"
    argv = ("sh", "-c", f"setsid sh -c 'sleep 100; : {mark}' >/dev/null 2>&1 & exit 0")

    measure(Command(argv, tmp_path), (), (), tmp_path / "log")

    running = [name for name in Path("/proc").glob("[0-9]*/cmdline") if mark in _text(name)]
    assert not running


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def test_a_command_that_fails_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="no such host") as caught:
        measure(Command(("sh", "-c", "echo no such host; exit 3"), tmp_path), (), (), tmp_path / "log")

    assert "ended with 3" in str(caught.value)


def test_ratios_are_within_a_repetition() -> None:
    # The machine was busy in the second repetition: both took four times as long.
    rows = [row("warpbeam", 1), row("ansible", 10), row("warpbeam", 4, 1), row("ansible", 40, 1)]

    ours, theirs = summaries(rows)

    assert (ours.peer, ours.to_ours, ours.to_floor) == ("warpbeam", 1, None)
    assert (theirs.peer, theirs.to_ours, theirs.count) == ("ansible", 10, 2)


def test_new_rows_take_the_place_of_all_of_their_setting_and_of_no_other() -> None:
    before = Sheet({}, (row("floor", 1), row("warpbeam", 2), row("floor", 9, hosts=50)))

    after = merged(before, {"processor": "2 cores"}, [row("warpbeam", 3)])

    assert [(kept.peer, kept.seconds) for kept in after.rows] == [("floor", 9), ("warpbeam", 3)]


def test_table_and_plot_tell_every_peer_and_how_often_it_was_measured() -> None:
    found = summaries([row("floor", 1), row("warpbeam", 1.4), row("ansible", 20)])

    text = table({"processor": "2 cores"}, found)
    drawing = plot(found)

    assert "| warpbeam 1 | 1 | 1.40 | 1.40 to 1.40 | 1.00 | 1.40 | 0.50 | 1.50 | 50 | 1.00 |" in text
    words = [element.text for element in ET.fromstring(drawing).iter() if element.text]
    assert {"floor", "warpbeam", "ansible", "20.00 (n = 1)"} <= set(words)


def test_a_part_can_be_chosen() -> None:
    options = read_options(["--hosts", "10,1", "--peers", "floor,warpbeam", "--cases", "change", "--repetitions", "3"])

    assert (options.hosts, options.peers, options.cases) == ((1, 10), ("warpbeam", "floor"), ("change",))
    with pytest.raises(SystemExit):
        read_options(["--peers", "chef"])
