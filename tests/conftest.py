"""Hooks of pytest: the name of the labs, several processes that share the tests, and the fault matrix's options."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import lab
from tests.faults.counters import COUNTERS
from tests.lab import KEPT, chosen_suites, emit, labs_of
from tests.schedule import Schedule, processes
from warpbeam.error import Misuse
from warpbeam.lab import lifetime
from warpbeam.lab.state import known_labs

# The processes that share the tests of this run.
BEGUN: set[str] = set()

# The most characters, or bytes, of a value that stands whole in the name of a test.
LONGEST_ID = 120

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and every process below
# inherits that: the tests that press it would press in vain.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with HUP below nohup(1); a handler that does nothing keeps this process and is not inherited.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# The time that an example takes says only how busy this machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest -m faults --seed N --cases 500`."""
    group = parser.getgroup("faults", "the fault matrix")
    group.addoption("--seed", type=int, default=1, help="of the cases' order and chance (default 1)")
    group.addoption("--cases", type=int, default=100, help="how many; 0: every cell once, none untried (default 100)")
    group.addoption("--only", type=int, action="append", help="try this case of the seed alone; may be repeated")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten a long value in the name of its test: reports and terminals show names whole, and one was 1 MiB."""
    if not isinstance(val, str | bytes) or len(val) <= LONGEST_ID:
        return None
    beginning = val[:40]
    shown = beginning.decode("latin-1") if isinstance(beginning, bytes) else beginning
    return f"{shown}... ({len(val)} in all)"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown Debian, and the labs of another run, before anything is collected."""
    try:
        chosen_suites()
    except Misuse as error:
        raise pytest.UsageError(f"WARPBEAM_TEST_SUITE: {error}, or both") from None
    # The processes that share the tests inherit the name.
    if "PYTEST_XDIST_WORKER" not in os.environ and lab.claim() is None:
        raise pytest.UsageError(
            f"another run of the tests has the labs {lab.base_name()}: set WARPBEAM_TEST_LAB to another name"
        )
    # Where Python may not keep compiled modules beside the source, each of a thousand `fab` would compile them anew.
    # The processes that share the tests inherit this too.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        compiled = tempfile.TemporaryDirectory(prefix="warpbeam-pycache-")
        config.add_cleanup(compiled.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled.name


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`."""
    return processes(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule:
    """Whatever `--dist` says: no file is divided."""
    return Schedule(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands in what its cases of the fault matrix came to."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counters"] = COUNTERS.written()


def pytest_configure_node(node: Any) -> None:
    """Note which processes there were."""
    BEGUN.add(node.gateway.id)


def pytest_testnodedown(node: Any) -> None:
    """Take in what a process hands in."""
    COUNTERS.read(getattr(node, "workeroutput", {}).get("counters", "[]"))


def pytest_unconfigure() -> None:
    """The labs of a process that was ended before it could remove them are removed here."""
    mine = {name for process in BEGUN for name in labs_of(process)}
    for name in set() if KEPT else mine & set(known_labs()):
        lifetime.down(name, emit)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Figures that tests recorded; the fault matrix's table: tried and survived, by fault and by step."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = [figure for report in reports if report.when == "call" for figure in report.user_properties]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(f"{name}: {figure}" for name, figure in sorted(figures)))
    if COUNTERS.rows:
        seeds = ", ".join(sorted({str(case.seed) for case, _ in COUNTERS.rows}))
        terminalreporter.section(f"faults, seed {seeds}")
        terminalreporter.write(COUNTERS.table())
