"""The control groups of a lab's machine, on each kind of Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpbeam.error import Refused
from warpbeam.lab import cgroup
from warpbeam.lab.cgroup import groups, hierarchies

UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
24 1 254:0 / / rw - ext4 /dev/vda rw
31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 24 0:28 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_a_unified_machine_has_one_hierarchy() -> None:
    assert hierarchies(UNIFIED) == (Path("/sys/fs/cgroup"),)


def test_a_hybrid_machine_has_the_two_that_systemd_uses() -> None:
    assert hierarchies(HYBRID) == (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"))


def test_a_machine_without_control_groups_is_reported() -> None:
    with pytest.raises(Refused, match="no control groups"):
        hierarchies("24 1 254:0 / / rw - ext4 /dev/vda rw\n")


def test_where_systemd_runs_a_host_is_a_service_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_own_hierarchies", lambda: hierarchies(UNIFIED))
    monkeypatch.setattr(cgroup, "has_systemd", lambda: True)
    assert groups("demo", "web1") == (Path("/sys/fs/cgroup/system.slice/warpbeam-demo-web1.service"),)


def test_elsewhere_a_host_has_groups_below_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_own_hierarchies", lambda: hierarchies(HYBRID))
    monkeypatch.setattr(cgroup, "has_systemd", lambda: False)
    assert [str(group) for group in groups("demo", "web1")] == [
        "/sys/fs/cgroup/systemd/warpbeam/demo/web1",
        "/sys/fs/cgroup/unified/warpbeam/demo/web1",
    ]


def test_only_processes_that_are_there_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cgroup, "groups", lambda lab, host: (tmp_path,))
    (tmp_path / "boot1").mkdir()
    (tmp_path / "cgroup.procs").write_text("1\n")
    # Larger than any process number can be (PID_MAX_LIMIT).
    (tmp_path / "boot1" / "cgroup.procs").write_text("99999999\n")
    assert cgroup.processes("demo", "web1") == {1}
    assert cgroup.leader("demo", "web1") is None
