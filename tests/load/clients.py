"""Several clients at once: from outside and from the host itself, over IPv4 and IPv6."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.lab import LabHandle
from tests.load.client import Workload
from tests.load.counters import Counters

PROJECT = Path(__file__).parent.parent.parent


class ClientProcess:
    """One client, in a process of its own."""

    def __init__(self, workload: Workload, prefix: Sequence[str] = ()) -> None:
        self.requests = 0
        self._last = ""
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.load.client"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.say(msgspec.json.encode(workload).decode())

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._last = line
            if line.strip().isdigit():
                self.requests = int(line)

    def say(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def finish(self) -> Counters:
        """Return its counters, once its last requests are answered. Raises where it ended otherwise."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(timeout=90)
        self._reader.join(timeout=10)
        assert status == 0, f"a client ended with status {status}"
        return msgspec.json.decode(self._last, type=Counters)


class Clients:
    """All clients of one load; `counters` are there once it has ended."""

    def __init__(self, processes: Sequence[ClientProcess]) -> None:
        self._processes = processes
        self.counters = Counters()

    @property
    def requests(self) -> int:
        """The number of requests so far, as of half a second ago. Fails where a client has ended."""
        assert all(client.process.poll() is None for client in self._processes), "a client has ended early"
        return sum(client.requests for client in self._processes)

    def phase(self, name: str) -> None:
        """Count latencies for `name` from now on."""
        for client in self._processes:
            client.say(name)

    def await_requests(self, count: int, timeout: float) -> None:
        """Wait until there were so many."""
        deadline = time.monotonic() + timeout
        while self.requests < count:
            assert time.monotonic() < deadline, f"{self.requests} requests within {timeout} s; expected {count}"
            time.sleep(0.1)


@contextmanager
def load(lab: LabHandle, host: str, seed: int, **changes: Any) -> Iterator[Clients]:
    """Clients ask `host` on its public port while this lasts, one from outside, one from the host itself.

    Parameters:
        changes: fields of `Workload` that are not to have their defaults.
    """
    found = lab.status(host)
    outside = Workload(addresses=(found.address4, found.address6), seed=seed, **changes)
    inside = Workload(addresses=("127.0.0.1", "::1", found.address4, found.address6), seed=seed + 1, **changes)
    # Only the network is the host's: it has no Python.
    enter = ("nsenter", f"--net=/proc/{found.pid}/ns/net", "--")
    processes = [ClientProcess(outside), ClientProcess(inside, enter)]
    clients = Clients(processes)
    try:
        yield clients
        for client in processes:
            clients.counters.add(client.finish())
    finally:
        for client in processes:
            client.process.kill()
            client.process.wait()
