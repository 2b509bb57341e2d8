"""The fault matrix, generated from the scripts: no step may be left out unnoticed."""

from __future__ import annotations

from tests.faults.counters import Counters
from tests.faults.matrix import (
    BROUGHT_BY,
    COMMANDS,
    ELSEWHERE,
    LASTING,
    MOMENTARY,
    ONLY,
    STRATEGIES,
    Case,
    Cell,
    cases,
    cells,
    occurrence,
    steps,
    telling,
    text_of,
)


def test_every_script_that_tells_steps_is_in_the_matrix_or_said_to_be_elsewhere() -> None:
    known = {script for scripts in COMMANDS.values() for script in scripts}

    assert telling() - known == ELSEWHERE
    # Step names must be literal: the matrix reads them from the text of the scripts.
    assert [script for script in known if 'step "' in text_of(script)] == []


def test_every_step_of_a_deploy_meets_every_fault_under_both_strategies() -> None:
    found = {(cell.strategy, cell.step, cell.fault) for cell in cells()}

    assert ("blue-green", "job.drain", "power-loss") in found
    assert ("restart", "upload.receive", "disk-full") in found
    assert {fault for _, step, fault in found if step == "job.start"} == set(MOMENTARY)
    assert {fault for _, step, fault in found if not step} == set(LASTING)
    assert {strategy for strategy, _, _ in found} == set(STRATEGIES)


def test_what_is_said_of_steps_is_said_of_steps_that_there_are() -> None:
    assert {*ONLY, *BROUGHT_BY} <= set(steps("deploy"))


def test_all_cells_are_cases_once_in_an_order_that_the_seed_decides() -> None:
    order = [case.cell for case in cases(1, 0)]

    assert sorted(map(str, order)) == sorted(map(str, cells()))
    assert order == [case.cell for case in cases(1, 0)]
    assert order != [case.cell for case in cases(2, 0)]
    assert list(cases(1, 5)) == list(cases(1, 0))[:5]


def test_a_step_that_two_scripts_tell_is_distinguished_by_their_order() -> None:
    def case(command: str, step: str) -> Case:
        return Case(0, 0, Cell("restart", step, "crash"), command, ("web1",), "web1", 0)

    assert occurrence(case("deploy", "upload.link")) == 1
    assert occurrence(case("deploy", "job.link")) == 2
    assert occurrence(case("rollback", "job.link")) == 1


def test_what_one_process_tried_is_in_the_table_of_another() -> None:
    one, all_of_them = Counters(), Counters()
    for case, outcome in zip(cases(1, 3), ("survived", "broken", "untried"), strict=True):
        one.add(case, outcome)

    all_of_them.read(one.written())

    assert all_of_them.table() == one.table()
    assert all_of_them.tried == one.tried
