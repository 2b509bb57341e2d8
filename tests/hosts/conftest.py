"""Real hosts for the tests of this directory: a lab of their own, booted once for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import NAME, LabHandle
from tests.stage import Stage
from warpbeam.lab.state import default_hosts

HERE = Path(__file__).parent
# Marks of tests that have to be asked for.
LATE = ("load", "faults")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test of this directory as one that needs hosts; skip them only where that was asked for.

    Those that take minutes (`-m load`) run only when they are named: a normal run does not count them at all.
    """
    wanted = str(config.getoption("-m"))
    late = [item for item in items if any(item.get_closest_marker(mark) and mark not in wanted for mark in LATE)]
    if late:
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hosts)
            if os.environ.get("WARPBEAM_NO_LAB") == "1":
                item.add_marker(pytest.mark.skip(reason="WARPBEAM_NO_LAB=1"))


@pytest.fixture(scope="session")
def lab() -> Iterator[LabHandle]:
    """A lab of build1, web1 and web2 for the whole run, removed at its end unless WARPBEAM_KEEP_LAB=1."""
    handle = LabHandle(NAME)
    handle.up(*default_hosts(3))
    yield handle
    if os.environ.get("WARPBEAM_KEEP_LAB") != "1":
        handle.down()


@pytest.fixture(scope="session")
def stage(lab: LabHandle, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The sample app, set up on the lab and deployed once. A test that breaks something leaves it healthy again."""
    made = Stage(lab, tmp_path_factory.mktemp("stage"))
    made.fab("setup")
    made.fab("deploy")
    return made


@pytest.fixture
def as_set_up(stage: Stage) -> Iterator[None]:
    """Each test leaves the hosts as the stage's own inventory has them."""
    yield
    stage.write()
    stage.fab("setup", "--restart")
    assert {row["health"] for row in stage.status().values()} == {"healthy"}
