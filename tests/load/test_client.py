"""The load's client: whether it sees what goes wrong, against a server that does one thing wrong at a time."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.answer import Answer, Malformed
from tests.load.client import Client, Workload
from tests.load.clients import PROJECT
from tests.load.counters import Counters

BODY = b'{"slot":"a","pid":7}\n'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CLOSING = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)

Fault = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


def answers(*pieces: bytes, reset: bool = False) -> Fault:
    """A server that answers a connection's first request with `pieces`, and then ends the connection."""

    def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
        if reset:
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    return act


async def seen(fault: Fault | None, workload: Workload, times: int = 1) -> Counters:
    """What a client sees of a server that does `fault` (None: serves well), once it has asked `times` times."""
    client = Client(workload)
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                if count >= times:
                    client.ended.set()
                if fault is not None:
                    fault(reader, writer)
                    break
                writer.write(GOOD)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        return await asyncio.wait_for(client.run_on(port), 10)


def one(**workers: int) -> Workload:
    """Workers of the kinds that are named, and none of the others."""
    none = {"kept": 0, "fresh": 0, "lazy": 0, "slow": 0, "streams": 0}
    return Workload(addresses=("127.0.0.1",), pause=0.01, limit=0.3, **{**none, **workers})


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answers(), "eof"),
        (answers(GOOD[:10]), "eof"),
        (answers(GOOD[:-1]), "short body"),
        (answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "short body"),
        (answers(reset=True), "reset"),
        (answers(GOOD.replace(b"200 OK", b"503 Busy")), "status"),
        (answers(GOOD.replace(b"200 OK", b"302 Found")), "status"),
        (answers(GOOD.replace(b"slot", b"slut")), "malformed"),
        (answers(GOOD + b"x"), "malformed"),
        (answers(b"SSH-2.0-OpenSSH\r\n\r\n"), "malformed"),
    ],
)
@pytest.mark.parametrize("worker", ["kept", "fresh", "slow"])
def test_each_way_to_fail_is_counted_once_and_by_its_name(fault: Fault, kind: str, worker: str) -> None:
    counters = asyncio.run(seen(fault, one(**{worker: 1})))

    assert counters.failed == {kind: 1}, counters.examples
    assert counters.answered == {}
    assert counters.requests == 1


def test_what_takes_longer_than_the_limit_is_late() -> None:
    def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(2, writer.close)
        writer.close = lambda: None  # type: ignore[method-assign]

    counters = asyncio.run(seen(silent, one(kept=1)))

    assert counters.failed == {"late": 1}


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def end_after_a_failure(client: Client) -> None:
        while not client.counters.failed:
            await asyncio.sleep(0.01)
        client.ended.set()

    async def ask() -> Counters:
        client = Client(one(fresh=1))
        ending = asyncio.create_task(end_after_a_failure(client))
        counters = await client.run_on(port)
        await ending
        return counters

    counters = asyncio.run(ask())
    assert counters.failed.keys() == {"refused"}


def test_a_stream_with_a_piece_missing_has_failed() -> None:
    def stream(ticks: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\ntick\n\r\n" * ticks + b"0\r\n\r\n"

    async def ask(ticks: int) -> Counters:
        client = Client(msgspec.structs.replace(one(streams=1), least=0.25, long=0.25))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    quick = head.startswith(b"GET / ")
                    writer.write(GOOD if quick else stream(ticks))
                    if not quick:
                        client.ended.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await client.run_on(server.sockets[0].getsockname()[1])

    whole, missing = asyncio.run(ask(3)), asyncio.run(ask(2))

    assert (whole.failed, whole.answered) == ({}, {"a": 1, "stream": 1})
    assert (missing.failed, missing.answered) == ({"malformed": 1}, {"a": 1})


def test_kept_connections_are_used_until_the_server_says_close_and_fresh_ones_once() -> None:
    kept = asyncio.run(seen(None, one(kept=2), times=20))
    fresh = asyncio.run(seen(None, one(fresh=2), times=20))
    told = asyncio.run(seen(answers(CLOSING), one(kept=2), times=20))

    assert (kept.connections, kept.failures, kept.handed) == (2, 0, 0)
    assert kept.answered["a"] >= 20
    assert (fresh.connections, fresh.failures) == (fresh.requests, 0)
    assert (told.connections, told.failures, told.handed) == (told.requests, 0, told.requests)


def test_a_connection_that_outlives_the_first_answer_of_a_new_instance_spans_a_flip() -> None:
    def told(pid: int) -> Answer:
        body = b'{"slot":"a","pid":%d}' % pid
        answer = Answer()
        assert answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return answer

    from tests.load.client import Wire

    client, old, new = Client(one()), Wire(), Wire()
    client._identify(old, told(1))
    client._identify(new, told(2))
    client._identify(old, told(1))
    client._identify(old, told(1))
    client._identify(new, told(2))

    assert client.counters.instances == [1, 2]
    assert client.counters.spanning == {2: 1}


@given(st.binary(max_size=300), st.lists(st.integers(0, 400)), st.booleans())
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(body: bytes, cuts: list[int], chunked: bool) -> None:
    if chunked:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    else:
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    answer = Answer()

    done = [answer.feed(whole[start:end]) for start, end in itertools.pairwise(edges)]

    assert answer.body == body
    assert done == [False] * (len(done) - 1) + [True]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_answer_or_malformed_or_want_more(text: bytes) -> None:
    with suppress(Malformed):
        Answer().feed(text)


def test_the_program_counts_phases_and_ends_with_its_input() -> None:
    workload = msgspec.json.encode(one(fresh=1)).decode()

    done = subprocess.run(
        [sys.executable, "-m", "tests.load.client"],
        cwd=PROJECT,
        input=f"{workload}\nquiet\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert msgspec.json.decode(done.stdout.splitlines()[-1], type=Counters).instances == []


def test_tallies_add_up() -> None:
    total = Counters()
    for micros in ([1000, 2000], [3000]):
        other = Counters(answered={"a": len(micros)}, instances=[5, 6], spanning={6: 2}, micros={"quiet": micros})
        other.fail("eof", "gone")
        total.add(other)

    assert (total.requests, total.failures, total.instances) == (5, 2, [5, 6])
    assert total.spanning == {6: 4}
    assert total.latency("quiet", 0.5) == 2.0
    assert total.latency("quiet", 1.0) == 3.0
    assert "2 eof" in total.figures()
