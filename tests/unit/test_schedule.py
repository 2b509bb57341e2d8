"""The schedule of tests: which run in one piece, and which process takes the next piece."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import durations, lab, schedule
from tests.environment import PROJECT
from tests.lab import lab_name, labs_of, own_name
from tests.schedule import choose, unit_of
from warpbeam.lab.state import check_names


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("tests/unit/test_x.py::test_y", "tests/unit/test_x.py"),
        ("tests/hosts/test_x.py::test_y[trixie]", "tests/hosts/test_x.py[trixie]"),
        ("tests/hosts/test_x.py::test_y[a-b-bookworm]", "tests/hosts/test_x.py[bookworm]"),
        ("tests/hosts/test_x.py::test_y[bookworm-a b]", "tests/hosts/test_x.py[bookworm]"),
        ("tests/hosts/test_x.py::test_bookworms[no suite]", "tests/hosts/test_x.py"),
    ],
)
def test_a_file_on_one_debian_is_one_piece(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_what_needs_no_host_comes_first_then_the_longest_of_the_own_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "TOOK", {"test_long": 1000})
    waiting = [
        ("tests/hosts/test_short.py[trixie]", 3),
        ("tests/hosts/test_long.py[bookworm]", 1),
        ("tests/hosts/test_sshd.py", 2),
        ("tests/unit/test_x.py", 1),
        ("tests/hosts/test_short.py[bookworm]", 3),
        ("tests/unit/test_y.py", 5),
    ]

    order = []
    while waiting:
        order.append(choose(waiting, "trixie"))
        waiting = [unit for unit in waiting if unit[0] != order[-1]]

    assert order == [
        "tests/unit/test_y.py",
        "tests/unit/test_x.py",
        "tests/hosts/test_short.py[trixie]",
        "tests/hosts/test_sshd.py",
        "tests/hosts/test_long.py[bookworm]",
        "tests/hosts/test_short.py[bookworm]",
    ]


def test_no_two_runs_have_a_lab_in_common(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("WARPBEAM_TEST_LAB", raising=False)

    first = lab.claim()
    assert first is not None
    assert os.environ["WARPBEAM_TEST_LAB"] == "wbtest"
    assert lab.claim() is None
    monkeypatch.delenv("WARPBEAM_TEST_LAB")
    second = lab.claim()
    assert second is not None
    assert lab.base_name() == "wbtest2"
    os.close(first)
    os.close(second)


def test_no_two_processes_have_a_lab_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARPBEAM_TEST_LAB", "wbtest")
    names = [name for process in ("", "gw0", "gw1", "gw10") for name in labs_of(process)]
    assert len(set(names)) == len(names)
    assert {own_name("gw1"), lab_name("bookworm", "gw1"), lab_name("trixie", "gw1")} == set(labs_of("gw1"))
    check_names(lab_name("trixie", "gw10"))


def test_the_files_that_are_named_for_a_debian_are_there() -> None:
    names = [file.stem for file in (PROJECT / "tests" / "hosts").rglob("test_*.py")]

    # A file that was renamed would run on the other Debian, and nobody would see that.
    assert set(names) >= lab.ON_BOTH | lab.ON_TRIXIE | set(durations.read_table())
    assert not lab.ON_BOTH & lab.ON_TRIXIE
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("directory", ["tests/hosts", "tests/hosts/attacks"])
def test_a_file_keeps_its_debian_wherever_it_lies(monkeypatch: pytest.MonkeyPatch, directory: str) -> None:
    monkeypatch.setenv("WARPBEAM_TEST_SUITE", lab.SHARED)
    files = {name: Path(directory, f"{name}.py") for name in ("test_build", "test_hooks", "test_rollback")}

    assert {name: lab.suites_of(file) for name, file in files.items()} == {
        "test_build": ("bookworm", "trixie"),
        "test_hooks": ("trixie",),
        "test_rollback": ("bookworm",),
    }


def test_the_durations_of_a_run_replace_the_former_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(durations, "TABLE", tmp_path / "durations.json")
    durations.TABLE.write_text('{"test_other": 200, "test_quick": 300}')
    times = (
        ("test_x[bookworm]", "test_slow", 70),
        ("test_y[bookworm-a]", "test_slow", 80),
        ("test_x[trixie]", "test_slow", 140),
    )
    cases = [
        f'<testcase classname="tests.hosts.attacks.{file}" name="{name}" time="{time}"/>' for name, file, time in times
    ]
    cases.append('<testcase classname="tests.hosts.test_quick" name="test_x" time="3.2"/>')
    cases.append('<testcase classname="tests.unit.test_x" name="test_x" time="500"/>')
    (tmp_path / "run.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")

    durations.write_table(tmp_path / "run.xml")

    assert durations.read_table() == {"test_slow": 150, "test_other": 200}
