"""A client of our own that never retries, and says of each request that failed how.

    python -m tests.load.client      (from the project's directory)

The first line of standard input is a `Workload` as JSON; each later line names what goes on from now on, for the
latencies. Twice a second the number of requests so far goes to standard output; when standard input ends, requests in
flight are waited for, and the last line holds the `Counters`.

It runs in a process of its own, so that it can be put into a host's network namespace and speaks from the host itself.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import Any

import msgspec

from tests.load.answer import Answer, Malformed
from tests.load.counters import Counters, Kind, count


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to make: for each address so many workers of each kind. Times are seconds.

    `kept` keep their connection until an answer says to close it; `fresh` connect for each request; `lazy` are kept
    ones that ask about once a second; `slow` and `streams` ask for answers that take from `least` to `long`. Between
    two requests of one worker there is half to one and a half of `pause`. A quick request that takes longer than
    `limit` has failed; a long one has that much more time than it asked for. What is in flight in the end is
    waited for, though no longer than `farewell`.
    """

    addresses: tuple[str, ...]
    port: int = 80
    kept: int = 20
    fresh: int = 3
    lazy: int = 2
    slow: int = 1
    streams: int = 1
    pause: float = 0.1
    long: float = 2.0
    least: float = 0.2
    limit: float = 5.0
    farewell: float = 30.0
    seed: int = 1


class Lost(Exception):
    """A request that failed; its text says how in detail."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind: Kind = kind


class Wire(asyncio.Protocol):
    """One connection. `pid` is that of the instance at its other end, 0 before it has said."""

    def __init__(self) -> None:
        self.pid = 0
        self.over = False
        self.spanned = False
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._due: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, path: str, limit: float, *, close: bool) -> Answer:
        """The answer to a GET. Raises: Lost."""
        assert self._transport is not None
        self._answer = Answer()
        self._due = asyncio.get_running_loop().create_future()
        ending = "Connection: close\r\n" if close else ""
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: load.test\r\n{ending}\r\n".encode())
        try:
            return await asyncio.wait_for(self._due, limit)
        except TimeoutError:
            raise Lost("late", f"{path} took longer than {limit:g} s") from None
        finally:
            self._due = None

    def data_received(self, data: bytes) -> None:
        if self._due is None or self._due.done() or self._answer is None:
            self._fail("malformed", f"unasked for: {data[:60]!r}")
            return
        try:
            if self._answer.feed(data):
                self.over = not self._answer.keeps
                self._due.set_result(self._answer)
        except Malformed as what:
            self._fail("malformed", str(what))

    def eof_received(self) -> None:
        begun = self._answer is not None and self._answer.begun
        self._fail("short body" if begun else "eof", "the connection ended " + ("in the body" if begun else "before"))

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._fail("reset", repr(error))
        else:
            self.eof_received()

    def _fail(self, kind: Kind, what: str) -> None:
        self.over = True
        if self._due is not None and not self._due.done():
            self._due.set_exception(Lost(kind, f"{what} (instance {self.pid or 'unknown'})"))

    def close(self) -> None:
        """End it; a request in flight gets no answer any more."""
        self.over = True
        if self._transport is not None:
            self._transport.close()


class Client:
    """All workers of one process, and what they saw."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.counters = Counters()
        self.phase = "begin"
        self.ended = asyncio.Event()

    async def run_on(self, port: int) -> Counters:
        """Run against another port than the one of its workload."""
        self.workload = msgspec.structs.replace(self.workload, port=port)
        return await self.run()

    async def run(self) -> Counters:
        """Work until `ended` is set; then what is in flight is waited for."""
        workload = self.workload
        kinds = {
            self.kept: workload.kept,
            self.lazy: workload.lazy,
            self.fresh: workload.fresh,
            self.slow: workload.slow,
            self.streams: workload.streams,
        }
        numbers = random.Random(workload.seed)
        workers = [
            asyncio.create_task(work(address, random.Random(numbers.random())))
            for address in workload.addresses
            for work, number in kinds.items()
            for _ in range(number)
        ]
        ended = asyncio.create_task(self.ended.wait())
        try:
            # A worker ends early only by a fault of this client, which is not to pass for a quiet server.
            await asyncio.wait([ended, *workers], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(workers, timeout=workload.farewell)
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for task in (ended, *workers):
                task.cancel()
        return self.counters

    async def kept(self, address: str, chance: random.Random) -> None:
        """Quick requests over one connection, for as long as the server keeps it."""
        await self._keeping(address, chance, self.workload.pause)

    async def lazy(self, address: str, chance: random.Random) -> None:
        """A kept connection on which little is asked. (A server that drains closes those that are idle for seconds.)"""
        await self._keeping(address, chance, 0.7)

    async def _keeping(self, address: str, chance: random.Random, pause: float) -> None:
        wire: Wire | None = None
        while not await self._rest(pause, chance):
            if wire is not None and wire.over:
                self.counters.idle += 1
                wire.close()
                wire = None
            wire = await self._quick(address, wire, close=False)
            if wire is not None and wire.over:
                self.counters.handed += 1
                wire.close()
                wire = None
        if wire is not None:
            wire.close()

    async def fresh(self, address: str, chance: random.Random) -> None:
        """A connection for each request: now the server closes it, now we do."""
        while not await self._rest(self.workload.pause, chance):
            wire = await self._quick(address, None, close=chance.random() < 0.5)
            if wire is not None:
                wire.close()

    async def slow(self, address: str, chance: random.Random) -> None:
        """Requests whose answer takes its time."""
        while not await self._rest(self.workload.pause, chance):
            await self._long(address, "/slow", chance)

    async def streams(self, address: str, chance: random.Random) -> None:
        """Requests whose answer comes bit by bit."""
        while not await self._rest(self.workload.pause, chance):
            await self._long(address, "/stream", chance)

    async def _rest(self, pause: float, chance: random.Random) -> bool:
        """Wait a while; whether it is time to end."""
        await asyncio.sleep(pause * (0.5 + chance.random()))
        return self.ended.is_set()

    async def _quick(self, address: str, wire: Wire | None, *, close: bool) -> Wire | None:
        phase, began = self.phase, time.perf_counter()
        try:
            wire = wire or await self._connect(address)
            rest = self.workload.limit - (time.perf_counter() - began)
            answer = await wire.ask("/", rest, close=close)
            self._identify(wire, answer)
        except Lost as lost:
            self._count(lost, address, wire)
            return None
        micros = round((time.perf_counter() - began) * 1_000_000)
        self.counters.micros.setdefault(phase, []).append(micros)
        return wire

    async def _long(self, address: str, path: str, chance: random.Random) -> None:
        """Learn who is at the other end, then ask what takes long there, on the same connection."""
        wire = await self._quick(address, None, close=False)
        if wire is None or wire.over:
            return
        ms = round(chance.uniform(self.workload.least, self.workload.long) * 1000)
        try:
            answer = await wire.ask(f"{path}?ms={ms}", self.workload.limit + ms / 1000, close=False)
            if path == "/slow":
                self._identify(wire, answer)
            elif answer.status != 200:
                raise Lost("status", f"{path}: {answer.status}")
            elif answer.body != b"tick\n" * (ms // 100 + 1):
                raise Lost("malformed", f"{path}: {len(answer.body)} bytes in {ms} ms")
            else:
                count(self.counters.answered, "stream")
            what = f"{path[1:]}, begun before a flip" if wire.pid != self.counters.instances[-1] else path[1:]
            count(self.counters.long, what)
        except Lost as lost:
            self._count(lost, f"{address}{path}", wire)
        finally:
            wire.close()

    async def _connect(self, address: str) -> Wire:
        self.counters.connections += 1
        loop = asyncio.get_running_loop()
        try:
            _, wire = await asyncio.wait_for(
                loop.create_connection(Wire, address, self.workload.port), self.workload.limit
            )
        except TimeoutError:
            raise Lost("late", f"no connection within {self.workload.limit:g} s") from None
        except ConnectionRefusedError as error:
            raise Lost("refused", str(error)) from None
        except ConnectionError as error:
            raise Lost("reset", str(error)) from None
        except OSError as error:
            raise Lost("unreachable", str(error)) from None
        return wire

    def _identify(self, wire: Wire, answer: Answer) -> None:
        """Count a good answer of `/` or `/slow`, and who gave it. Raises: Lost, where it is no good one."""
        if answer.status != 200:
            raise Lost("status", f"{answer.status}")
        try:
            told: dict[str, Any] = msgspec.json.decode(answer.body)
            slot, pid = str(told["slot"]), int(told["pid"])
        except (msgspec.DecodeError, KeyError, ValueError):
            raise Lost("malformed", f"the body is {answer.body[:60]!r}") from None
        count(self.counters.answered, slot)
        seen = self.counters.instances
        if pid not in seen:
            seen.append(pid)
        elif pid != seen[-1] and wire.pid == pid and not wire.spanned:
            wire.spanned = True
            count(self.counters.spanning, seen[seen.index(pid) + 1])
        wire.pid = pid

    def _count(self, lost: Lost, where: str, wire: Wire | None) -> None:
        self.counters.fail(lost.kind, f"{where}, {self.phase}, {time.strftime('%T')}: {lost}")
        if wire is not None:
            wire.close()


async def main() -> None:
    """What the module's own text says."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client = Client(msgspec.json.decode(await reader.readline(), type=Workload))

    async def read_phases() -> None:
        while line := await reader.readline():
            client.phase = line.decode().strip()
        client.ended.set()

    async def emit() -> None:
        while not client.ended.is_set():
            await asyncio.sleep(0.5)
            print(client.counters.requests, flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(read_phases())
        group.create_task(emit())
        work = group.create_task(client.run())
    print(msgspec.json.encode(work.result()).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
