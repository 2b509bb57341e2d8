"""Names of labs and hosts, the state that is written down, and its lock."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from warpbeam.error import Misuse, Refused
from warpbeam.lab import lifetime, state
from warpbeam.lab.lifetime import merge
from warpbeam.lab.state import HostSpec, Lab, Member, check_names, check_suite, default_hosts, locked

LAYERS: lifetime.Layers = {
    (None, "host"): ("/cache/host",),
    (None, "build"): ("/cache/build", "/cache/host"),
    ("trixie", "host"): ("/cache/trixie",),
}


@pytest.fixture(autouse=True)
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of labs."""
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    return tmp_path / "labs"


def test_a_lab_has_one_build_host_and_the_rest_serve() -> None:
    assert [(host.name, host.kind) for host in default_hosts(3)] == [
        ("build1", "build"),
        ("web1", "host"),
        ("web2", "host"),
    ]
    assert len(default_hosts(200)) == 200
    for count in (0, -1, 201):
        with pytest.raises(Misuse):
            default_hosts(count)


@pytest.mark.parametrize("name", ["", "Demo", "1st", "a-b", "a" * 13, "../x", "a b", "démo", "demo\n"])
def test_a_name_that_cannot_be_a_directory_and_a_device_is_refused(name: str) -> None:
    with pytest.raises(Misuse, match="cannot be the name of a lab"):
        check_names(name)


@pytest.mark.parametrize("hosts", [["-x"], ["a/b"], ["A"], ["x" * 31], ["web1", "web1"]])
def test_host_names_are_checked_too(hosts: list[str]) -> None:
    with pytest.raises(Misuse):
        check_names("demo", [HostSpec(name) for name in hosts])


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    assert check_suite("trixie") == "trixie"
    with pytest.raises(Misuse) as refused:
        check_suite("buster")
    assert "bookworm, trixie" in refused.value.hint


def test_what_is_written_down_is_read_back() -> None:
    lab = Lab("demo", "trixie", 3, 64, (Member("web1", "host", None, 10, "ab", ("/cache/host",)),))
    state.write_lab(lab)
    assert state.read_lab("demo") == lab
    assert state.known_labs() == ("demo",)
    assert lab.member("web1").number == 10


def test_what_does_not_decode_counts_as_nothing(labs: Path) -> None:
    (labs / "demo").mkdir(parents=True)
    (labs / "demo" / "lab.json").write_text('{"name": "demo"')
    assert state.find_lab("demo") is None
    with pytest.raises(Refused, match="there is no lab 'demo'"):
        state.read_lab("demo")


def test_hosts_that_are_there_keep_their_numbers_and_new_ones_come_after() -> None:
    first = merge((), (HostSpec("web2"), HostSpec("build1", "build")), LAYERS)
    second = merge(first, (HostSpec("web1"), HostSpec("web2")), LAYERS)
    assert second[:2] == first
    assert [member.number for member in second] == [10, 11, 12]
    assert len({member.machine_id for member in second}) == 3
    assert second[1].layers == LAYERS[None, "build"]


def test_a_host_that_is_there_does_not_change_its_kind() -> None:
    with pytest.raises(Misuse, match="web1 is a host host"):
        merge(merge((), (HostSpec("web1"),), LAYERS), (HostSpec("web1", "build"),), LAYERS)


def test_a_host_may_have_another_debian_than_its_lab_and_keeps_it() -> None:
    first = merge((), (HostSpec("web1"), HostSpec("web2", suite="trixie")), LAYERS)
    assert [member.layers for member in first] == [("/cache/host",), ("/cache/trixie",)]
    with pytest.raises(Misuse, match="web1 does not run trixie"):
        merge(first, (HostSpec("web1", suite="trixie"),), LAYERS)
    with pytest.raises(Misuse, match="web2 does not run the Debian of its lab"):
        merge(first, (HostSpec("web2"),), LAYERS)


def test_a_lab_does_not_outgrow_its_subnet() -> None:
    with pytest.raises(Misuse, match="at most 200"):
        merge((), [HostSpec(f"web{number}") for number in range(201)], LAYERS)


def test_a_lock_is_held_by_one_at_a_time_though_its_file_is_removed_meanwhile(tmp_path: Path) -> None:
    file, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(50):
            with locked(file):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                os.sched_yield()
                inside[0] -= 1
                file.unlink()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not file.exists()
