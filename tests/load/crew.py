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
from tests.load.client import Errand
from tests.load.tally import Tally

PROJECT = Path(__file__).parent.parent.parent


class Member:
    """One client, in a process of its own."""

    def __init__(self, errand: Errand, prefix: Sequence[str] = ()) -> None:
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
        self.say(msgspec.json.encode(errand).decode())

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

    def finish(self) -> Tally:
        """What it saw, once its last requests are answered. Raises where it ended otherwise."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(timeout=90)
        self._reader.join(timeout=10)
        assert status == 0, f"a client ended with status {status}"
        return msgspec.json.decode(self._last, type=Tally)


class Crew:
    """All clients of one load; `tally` is there once it has ended."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self.tally = Tally()

    @property
    def requests(self) -> int:
        """How many there were so far, as of half a second ago. Fails where a client has ended."""
        assert all(member.process.poll() is None for member in self._members), "a client has ended early"
        return sum(member.requests for member in self._members)

    def phase(self, name: str) -> None:
        """From now on latencies count for `name`."""
        for member in self._members:
            member.say(name)

    def await_requests(self, count: int, timeout: float) -> None:
        """Wait until there were so many."""
        deadline = time.monotonic() + timeout
        while self.requests < count:
            assert time.monotonic() < deadline, f"{self.requests} requests within {timeout} s; expected {count}"
            time.sleep(0.1)


@contextmanager
def load(lab: LabHandle, host: str, seed: int, **changes: Any) -> Iterator[Crew]:
    """Clients ask `host` on its public port while this lasts, one from outside, one from the host itself.

    Parameters:
        changes: fields of `Errand` that are not to have their defaults.
    """
    found = lab.status(host)
    outside = Errand(addresses=(found.address4, found.address6), seed=seed, **changes)
    inside = Errand(addresses=("127.0.0.1", "::1", found.address4, found.address6), seed=seed + 1, **changes)
    # Of the host's there is only its network: it has no Python.
    enter = ("nsenter", f"--net=/proc/{found.pid}/ns/net", "--")
    members = [Member(outside), Member(inside, enter)]
    crew = Crew(members)
    try:
        yield crew
        for member in members:
            crew.tally.add(member.finish())
    finally:
        for member in members:
            member.process.kill()
            member.process.wait()
