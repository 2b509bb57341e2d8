"""Measure one command: time, memory of its whole process tree, bytes on the hosts' cables."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

# prctl(2)
PR_SET_CHILD_SUBREAPER = 36
# Reading a process tree takes time away from the command: at most one part in this many.
THRIFT = 40
SHORTEST = 0.05
KIB = 1024


class Command(msgspec.Struct, frozen=True):
    """A command line, its working directory, and variables to add to our environment."""

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str] = {}


class Reading(msgspec.Struct, frozen=True):
    """The measurements of one command.

    `seconds` are elapsed; `processor` seconds are user and system, including children that were waited for. `peak` is
    the largest sum seen of the proportional set sizes (proc(5), Pss) of all processes of the tree; `sent` and
    `received` are whole Ethernet frames to and from all hosts. All three are in bytes. `there` is the processor time
    on the hosts meanwhile, in seconds.
    """

    seconds: float
    processor: float
    peak: int
    sent: int
    received: int
    there: float


class Broken(Exception):
    """A command failed; the message has the end of its output."""


def adopt_orphans() -> None:
    """Make processes that detach from a command's tree (ssh's ControlPersist) our own children, to measure them too."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: Command, links: Sequence[str], gauges: Sequence[Path], log: Path) -> Reading:
    """Run a command to its end and return its measurements; end the processes that it left running.

    Raises:
        Broken: the command failed.
    """
    before = set(_children(os.getpid()))
    sent, received = _carried(links)
    used_before = _used(gauges)
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env={**os.environ, **command.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        ended = threading.Event()
        peaks: list[int] = []
        watcher = threading.Thread(target=_watch, args=(process.pid, before, ended, peaks), daemon=True)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    after = _carried(links)
    there = _used(gauges) - used_before
    ended.set()
    watcher.join()
    _end(set(_children(os.getpid())) - before)
    if process.returncode != 0:
        said = log.read_text(errors="replace").splitlines()[-25:]
        raise Broken("\n".join([f"{command.argv[0]} ended with {process.returncode}; {log} has all of it", *said]))
    return Reading(seconds, used.ru_utime + used.ru_stime, max(peaks), after[0] - sent, after[1] - received, there)


def _watch(root: int, before: set[int], ended: threading.Event, peaks: list[int]) -> None:
    """Add the memory of the tree of `root`, and of processes that detached from it, to `peaks`, until `ended`."""
    us = os.getpid()
    pause = 0.0
    while True:
        began = time.perf_counter()
        orphans = set(_children(us)) - before - {root}
        peaks.append(sum(_held(pid) for top in (root, *orphans) for pid in _tree(top)))
        pause = max(SHORTEST, THRIFT * (time.perf_counter() - began))
        if ended.wait(pause):
            return


def _tree(top: int) -> list[int]:
    found = [top]
    for pid in found:
        found += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _held(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * KIB
    return 0


def _carried(links: Sequence[str]) -> tuple[int, int]:
    """Return bytes to and from the hosts so far: our end of a cable sends what its host receives."""
    statistics = [Path("/sys/class/net", link, "statistics") for link in links]
    sums = (sum(int((there / kind).read_text()) for there in statistics) for kind in ("tx_bytes", "rx_bytes"))
    return tuple(sums)  # type: ignore[return-value]


def _used(gauges: Sequence[Path]) -> float:
    """Return the seconds of processor time so far."""
    return sum(int(gauge.read_text().split()[1]) for gauge in gauges) / 1e6


def _end(left: set[int]) -> None:
    for pid in left:
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    for pid in left:
        with suppress(OSError):
            os.waitpid(pid, 0)
