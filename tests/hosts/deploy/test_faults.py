"""The fault matrix: whatever goes wrong at whatever step, the host serves a whole release, and the next deploy works.

The normal run takes a slice. More: `pytest -m faults --seed N --cases 500`; `--cases 0` tries every cell once, and
fails on one whose moment did not come. See tests/faults/matrix.py, and docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tests.environment import LabEnvironment
from tests.faults.case_runner import CaseRunner
from tests.faults.counters import COUNTERS
from tests.faults.fault_case import Untried
from tests.faults.matrix import Case, Cell, cases, cells, draw

# Cheap ones of different kinds for every run of the tests.
SLICE = (
    Cell("blue-green", "job.current", "power-loss"),
    Cell("blue-green", "job.health", "fab-kill"),
    Cell("blue-green", "job.switch", "cut"),
    Cell("restart", "job.start", "crash"),
    Cell("blue-green", "job.current", "disk-full"),
    Cell("restart", "", "crash-at-boot", "deploy"),
)
SLICE_SEED = 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case."""
    if "case" not in metafunc.fixturenames:
        return
    chosen: list[Case]
    if metafunc.function is test_a_slice_of_the_fault_matrix_is_survived:
        drawn = (draw(SLICE_SEED, number, cell) for number, cell in enumerate(SLICE))
        chosen = [msgspec.structs.replace(case, hosts=("web1",), victim="web1") for case in drawn]
    else:
        seed, count = metafunc.config.getoption("--seed"), metafunc.config.getoption("--cases")
        only = metafunc.config.getoption("--only")
        chosen = list(cases(seed, max(only) + 1 if only else count))
        chosen = [case for case in chosen if not only or case.number in only]
    metafunc.parametrize("case", chosen, ids=[str(case) for case in chosen])


@pytest.fixture(scope="module")
def runner(environment: LabEnvironment) -> Iterator[CaseRunner]:
    """The releases and hosts of all cases; the hosts are healthy again afterwards."""
    made = CaseRunner(environment)
    yield made
    made.close()


def survive(runner: CaseRunner, case: Case) -> None:
    outcome = "broken"
    try:
        runner.run(case)
        outcome = "survived"
    except Untried:
        outcome = "untried"
        raise
    finally:
        COUNTERS.add(case, outcome)


def test_a_slice_of_the_fault_matrix_is_survived(runner: CaseRunner, case: Case) -> None:
    survive(runner, case)


@pytest.mark.faults
def test_a_fault_is_survived(runner: CaseRunner, case: Case) -> None:
    survive(runner, case)


@pytest.mark.faults
def test_no_cell_of_the_matrix_is_left_untried(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--cases") != 0 or request.config.getoption("--only"):
        return
    assert sorted(str(cell) for cell in set(cells()) - COUNTERS.tried) == []
