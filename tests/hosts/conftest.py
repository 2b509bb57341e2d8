"""Real hosts for the tests of this directory: labs of their own, each made at first use and kept for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import LabEnvironment
from tests.lab import KEPT, Connections, LabHandle, chosen_suites, lab_name, suites_of
from tests.schedule import LATE, is_asked_for
from tests.second_app import second_app  # noqa: F401 (a fixture)
from warpbeam.lab.state import SUITES, HostSpec, Suite, default_hosts

HERE = Path(__file__).parent
# Which of several processes that share the tests this one is; empty where it is the only one.
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test of this directory as one that needs hosts; skip them only where that was asked for.

    Those that take minutes (`-m load`) run only when they are named: a normal run does not count them at all. When they
    are, they run on one Debian.
    """
    late = [
        item
        for item in items
        for mark in LATE
        if item.get_closest_marker(mark) and not (is_asked_for(config, mark) and _is_of_first_suite(item))
    ]
    elsewhere = [item for item in items if (suite := _suite_of(item)) and suite not in suites_of(item.path)]
    if left := {*late, *elsewhere}:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]
    for item in items:
        if any(map(item.get_closest_marker, LATE)):
            item.add_marker(pytest.mark.timeout(0))
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.hosts)
            if os.environ.get("WARPBEAM_NO_LAB") == "1":
                item.add_marker(pytest.mark.skip(reason="WARPBEAM_NO_LAB=1"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that needs a lab once for each Debian, which its name says: `test_x[trixie]`."""
    if "suite" in metafunc.fixturenames:
        chosen = chosen_suites()
        metafunc.parametrize("suite", chosen, ids=chosen, scope="session", indirect=True)


def _suite_of(item: pytest.Item) -> Suite | None:
    """The Debian that a test is to run on; None where it needs no lab."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return None
    given = item.callspec.params.get("suite")
    return next((suite for suite in chosen_suites() if suite == given), None)


def _is_of_first_suite(item: pytest.Item) -> bool:
    return _suite_of(item) in (None, chosen_suites()[0])


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest) -> Suite:
    """The Debian of the lab's hosts."""
    given: Suite = request.param
    return given


@pytest.fixture(scope="session")
def labs() -> Iterator[dict[Suite, LabHandle]]:
    """The labs that this process has made, removed at its end unless WARPBEAM_KEEP_LAB=1."""
    made: dict[Suite, LabHandle] = {}
    yield made
    for handle in made.values():
        if KEPT:
            handle.disconnect()
        else:
            handle.down()


def raised(labs: dict[Suite, LabHandle], suite: Suite, *hosts: HostSpec) -> LabHandle:
    """This process's lab of that Debian, with those hosts at least."""
    if suite not in labs:
        name = lab_name(suite, PROCESS)
        labs[suite] = LabHandle(name, suite, Connections(name))
    handle = labs[suite]
    handle.up(*hosts)
    return handle


@pytest.fixture(scope="session")
def lab(suite: Suite, labs: dict[Suite, LabHandle]) -> LabHandle:
    """A lab of build1, web1 and web2."""
    return raised(labs, suite, *default_hosts(3))


@pytest.fixture(scope="session")
def both(labs: dict[Suite, LabHandle]) -> dict[Suite, LabHandle]:
    """A lab of each Debian, whichever are chosen, with build1 and a host `web9` that no other test uses."""
    return {suite: raised(labs, suite, HostSpec("build1", "build"), HostSpec("web9")) for suite in SUITES}


@pytest.fixture(scope="session")
def environments() -> dict[Suite, LabEnvironment]:
    """The environments that this process has set up."""
    return {}


@pytest.fixture(scope="session")
def environment(
    lab: LabHandle, environments: dict[Suite, LabEnvironment], tmp_path_factory: pytest.TempPathFactory
) -> LabEnvironment:
    """The sample app, set up on the lab and deployed once. A test that breaks something leaves it healthy again."""
    if lab.suite not in environments:
        made = LabEnvironment(lab, tmp_path_factory.mktemp("stage"))
        made.fab("setup")
        made.fab("deploy")
        environments[lab.suite] = made
    return environments[lab.suite]


@pytest.fixture
def as_set_up(environment: LabEnvironment) -> Iterator[None]:
    """Each test leaves the hosts as the environment's own inventory has them."""
    yield
    environment.write()
    environment.fab("setup", "--restart")
    assert {row["health"] for row in environment.status().values()} == {"healthy"}


@pytest.fixture
def source(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment; what a test commits or leaves lying in the source is gone after it."""
    head = environment.git("rev-parse", "HEAD")
    yield environment
    environment.git("reset", "-q", "--hard", head)
    environment.git("clean", "-q", "-d", "--force")
