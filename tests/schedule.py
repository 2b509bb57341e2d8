"""The schedule of tests for several processes (pytest-xdist): a file on one Debian is never divided.

Each process has labs of its own (tests/lab.py), made when it first needs one. Therefore it keeps to one Debian while
there is something to do for that; and the longest files are begun first, so that no process works alone at the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.durations import read_table
from warpbeam.lab.state import SUITES

# Marks of tests that have to be asked for, and are then alone on the machine: they measure, or count what gets in time.
LATE = ("load", "faults")
# Tests on hosts wait most of the time: for a VM to boot, a connection to end, a deadline.
PROCESSES_PER_CORE = 2
# The most that two labs with their apps, a build and the process itself need.
MEMORY_PER_PROCESS = 2 * 1024**3
# About how many seconds a file takes on one Debian, of those that take long, with four processes on two cores. A figure
# that is wrong costs some time at the end of a run, nothing else.
TOOK = read_table()
# About how many seconds a test of another file takes.
PER_TEST = 12


def is_asked_for(config: pytest.Config, mark: str) -> bool:
    """Return whether `-m` names one of LATE."""
    return mark in str(config.getoption("-m"))


def processes(config: pytest.Config) -> int:
    """Return how many processes this machine can feed; 0 (just this one) for tests that run alone or are watched."""
    if any(is_asked_for(config, mark) for mark in LATE) or config.getoption("capture") == "no":
        return 0
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    count = min(PROCESSES_PER_CORE * cores, memory // MEMORY_PER_PROCESS)
    return count if count > 1 else 0


def suite_of(name: str) -> str:
    """The Debian that is in a test's name, or nothing."""
    found = re.search(rf"[\[-]({'|'.join(SUITES)})[\]-]", name)
    return found[1] if found else ""


def unit_of(name: str) -> str:
    """Return the unit of work of a test: its file, with the Debian it runs on."""
    suite = suite_of(name)
    return name.partition("::")[0] + (f"[{suite}]" if suite else "")


def is_of_hosts(unit: str) -> bool:
    """Return whether it is one of the tests on hosts."""
    return unit.startswith("tests/hosts/")


def expected(unit: str, tests: int) -> int:
    """Return about how many seconds that takes."""
    return TOOK.get(Path(unit.partition("[")[0]).stem, PER_TEST * tests) if is_of_hosts(unit) else tests


def choose(waiting: Iterable[tuple[str, int]], home: str) -> str:
    """Choose the next unit of a process: first without a host, then for its own Debian, and the longest first.

    Parameters:
        waiting: units, and how many tests each has.
        home: the Debian whose lab the process has.
    """

    def rank(unit: tuple[str, int]) -> tuple[bool, bool, int]:
        name, tests = unit
        return (not is_of_hosts(name), suite_of(name) in ("", home), expected(name, tests))

    return max(waiting, key=rank)[0]


class Schedule(LoadScopeScheduling):
    """xdist's own for files, but for what is a unit and which comes next."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        number = int(node.gateway.id.removeprefix("gw"))
        unit = choose(((name, len(tests)) for name, tests in self.workqueue.items()), SUITES[number % len(SUITES)])
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)
