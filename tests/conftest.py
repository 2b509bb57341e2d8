"""Options of the fault matrix (tests/hosts/test_faults.py), and its table at the end of a run."""

from __future__ import annotations

import signal

import pytest

from tests.faults.tally import TALLY

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and every process below
# inherits that: the tests that press it would press in vain.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest -m faults --seed N --cases 500`."""
    group = parser.getgroup("faults", "the fault matrix")
    group.addoption("--seed", type=int, default=1, help="of the cases' order and chance (default 1)")
    group.addoption("--cases", type=int, default=100, help="how many; 0: every cell once, none untried (default 100)")
    group.addoption("--only", type=int, action="append", help="try this case of the seed alone; may be repeated")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table: tried and survived, by fault and by step."""
    if TALLY.rows:
        seeds = ", ".join(sorted({str(case.seed) for case, _ in TALLY.rows}))
        terminalreporter.section(f"faults, seed {seeds}")
        terminalreporter.write(TALLY.table())
