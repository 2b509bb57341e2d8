"""The lab itself, on real machines: each test has a lab of its own to break, or looks at the shared one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import LabHandle, emit, own_name
from warpbeam.error import Misuse, Refused
from warpbeam.lab import cgroup, disk, inotify, lifetime, machine, rootfs
from warpbeam.lab.state import LABS, SUITES, HostSpec, Suite, bridge_name, read_lab

WEB1, WEB2 = HostSpec("web1"), HostSpec("web2")
OWN = own_name(os.environ.get("PYTEST_XDIST_WORKER", ""))
PROJECT = Path(__file__).parents[3]


@pytest.fixture
def own(suite: Suite) -> Iterator[LabHandle]:
    """A lab of one host, to be broken."""
    handle = LabHandle(OWN, suite)
    handle.up(WEB1, opt_size=64)
    yield handle
    handle.down()


def traces(name: str) -> dict[str, list[str]]:
    """Return what this machine has of a lab, by kind, in every mount namespace and every process."""
    mounts: set[str] = set()
    processes: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mounts.update(line for line in (process / "mounts").read_text().splitlines() if f"{LABS}/{name}/" in line)
            command = (process / "cmdline").read_text()
        except OSError:
            continue
        if f"{LABS}/{name}/" in command:
            processes.append(command.replace("\0", " "))
    found = {
        "mounts": sorted(mounts),
        "processes": processes,
        "links": [bridge_name(name)] if Path("/sys/class/net", bridge_name(name)).exists() else [],
        "loops": [
            str(file)
            for file in Path("/sys/block").glob("loop*/loop/backing_file")
            if f"{LABS}/{name}/" in file.read_text()
        ],
        "groups": list(cgroup.hosts_of(name)),
        "files": [str(path) for path in LABS.glob(f"{name}*") if path.name.split(".")[0] == name],
    }
    return {kind: what for kind, what in found.items() if what}


def script(*lines: str) -> tuple[str, ...]:
    """A Python process of its own that calls the lab."""
    begin = (
        "import sys",
        f"sys.path.insert(0, {str(PROJECT)!r})",
        "from warpbeam.lab import lifetime, rootfs",
    )
    return (sys.executable, "-c", "\n".join((*begin, *lines)))


def up_script(suite: Suite, *hosts: str) -> tuple[str, ...]:
    return script(
        "from warpbeam.lab.state import HostSpec",
        f"hosts = [HostSpec(name) for name in {hosts!r}]",
        f"lifetime.up({OWN!r}, hosts, {suite!r}, lambda event: print(event, flush=True))",
    )


def test_a_host_is_a_real_server_that_runs_without_a_failed_unit(lab: LabHandle) -> None:
    assert lab.ssh("web1", "systemctl is-system-running --wait; systemctl --failed --no-legend").stdout == "running\n"
    assert lab.ssh("web1", "hostname; id -un; sudo -n id -un").stdout.split() == ["web1", "admin", "root"]
    assert "persistent" in lab.ssh("web1", "sudo ls -d /var/log/journal/* && echo persistent").stdout
    lab.ssh("web1", "sudo nft add table inet probe && sudo nft delete table inet probe")


def test_hosts_reach_each_other_and_this_machine_by_name_over_both_protocols(lab: LabHandle) -> None:
    known = lab.ssh("web1", "getent ahosts web2").stdout
    assert lab.address("web2") in known
    assert lab.address6("web2") in known
    for address in (lab.address("web2"), lab.address6("web2")):
        lab.ssh("web1", f"timeout 5 bash -c 'read -r line < /dev/tcp/{address}/22 && [[ $line == SSH-2.0-* ]]'")
    gateway = lab.ssh("web1", "ip route show default; ip -6 route show default").stdout
    assert gateway.count("default via") == 2


def test_only_the_build_host_has_elixir_and_it_makes_a_release_as_a_plain_user(lab: LabHandle) -> None:
    assert lab.ssh("web1", "command -v elixir git python3", check=False).stdout == ""
    made = lab.ssh(
        "build1",
        "set -e; rm -rf probe; mix new probe >/dev/null; cd probe\n"
        "sed -i 's/\\[:logger\\]/[:logger, :crypto, :ssl, :inets, :os_mon, :runtime_tools]/' mix.exs\n"
        "mix test >/dev/null; MIX_ENV=prod mix release >/dev/null 2>&1\n"
        "_build/prod/rel/probe/bin/probe eval 'IO.puts(byte_size(:crypto.hash(:sha256, <<>>)))'\n"
        "python3 -c 'print(1 + 1)'; git --version; rsync --version | head -n 1",
    )
    assert made.stdout.split("\n")[:2] == ["32", "2"]


def test_a_release_made_on_the_build_host_runs_where_there_is_no_erlang(lab: LabHandle) -> None:
    lab.ssh(
        "build1",
        "rm -rf carried; mix new carried >/dev/null; cd carried; MIX_ENV=prod mix release >/dev/null 2>&1",
    )
    pack = (*("ssh", "-F", str(lab.ssh_config), "build1"), "tar -C carried/_build/prod/rel -cz carried")
    tarball = subprocess.run(pack, capture_output=True, check=True).stdout
    unpack = (
        *("ssh", "-F", str(lab.ssh_config), "web2"),
        "tar -xz && carried/bin/carried eval 'IO.puts(6 * 7)'",
    )
    assert subprocess.run(unpack, input=tarball, capture_output=True, check=True).stdout == b"42\n"


def test_a_crashed_host_boots_again_with_what_it_had_written(own: LabHandle) -> None:
    own.ssh("web1", "sudo sh -c 'echo kept > /opt/file'")
    own.crash("web1")
    assert own.status("web1").pid == 0
    own.boot("web1")
    assert own.ssh("web1", "cat /opt/file; systemctl is-system-running --wait").stdout == "kept\nrunning\n"


def test_a_power_loss_takes_what_was_not_synced_and_leaves_what_was(own: LabHandle) -> None:
    own.ssh("web1", "sudo sh -c 'echo kept > /opt/synced; sync -f /opt; echo lost > /opt/late; cat /opt/late'")
    own.power_loss("web1")
    assert own.status("web1").pid == 0
    own.boot("web1")
    assert own.ssh("web1", "cat /opt/synced").stdout == "kept\n"
    assert own.ssh("web1", "cat /opt/late", check=False).stdout == ""


def test_a_power_loss_after_the_metadata_is_committed_leaves_empty_files(own: LabHandle) -> None:
    # ext4 commits names every 5 s and contents later (delayed allocation): the classic way to lose a release.
    own.ssh("web1", "sudo sh -c 'mkdir /opt/dir; for n in 1 2 3 4; do echo content > /opt/dir/$n; done'; sleep 7")
    own.power_loss("web1")
    own.boot("web1")
    assert own.ssh("web1", "ls /opt/dir; cat /opt/dir/*").stdout.split() == ["1", "2", "3", "4"]


def test_a_full_disk_stays_in_opt(own: LabHandle) -> None:
    full = own.ssh("web1", "sudo dd if=/dev/zero of=/opt/fill bs=1M", check=False)
    assert "No space left on device" in full.stderr
    own.ssh("web1", "echo fine > elsewhere && cat elsewhere")


def test_hosts_do_not_share_units_so_one_ends_without_the_others(own: LabHandle) -> None:
    own.up(WEB2)
    own.ssh("web2", "sudo systemd-run --quiet --unit=probe sleep 1000")
    own.crash("web1")
    assert own.ssh("web2", "systemctl is-active probe ssh").stdout.split() == ["active", "active"]
    own.boot("web1")
    assert own.ssh("web2", "systemctl is-active probe").stdout.split() == ["active"]


def test_a_host_can_reboot_and_switch_off_by_itself(own: LabHandle) -> None:
    own.ssh("web1", "sudo touch /opt/before /run/before")
    before = own.status("web1").pid
    own.ssh("web1", "sudo systemctl reboot", check=False)
    _wait(lambda: own.status("web1").pid not in (0, before))
    machine.wait_ready(read_lab(OWN), read_lab(OWN).member("web1"))
    assert own.ssh("web1", "ls /run/before", check=False).returncode != 0
    assert own.ssh("web1", "systemctl is-system-running --wait").stdout == "running\n"
    own.power_loss("web1")
    own.boot("web1")
    own.ssh("web1", "ls /opt/before")  # an orderly reboot had synced it
    own.ssh("web1", "sudo systemctl poweroff", check=False)
    _wait(lambda: own.status("web1").pid == 0)
    own.boot("web1")
    own.ssh("web1", "true")


def test_up_on_a_running_lab_adds_what_is_missing_and_leaves_the_rest(own: LabHandle) -> None:
    before = own.status("web1")
    own.up(WEB1)
    own.up(WEB1, WEB2)
    assert own.status("web1") == before
    assert own.ssh("web1", "getent ahosts web2").stdout.startswith(own.address6("web2"))
    own.ssh("web2", "getent hosts web1")
    assert lifetime.up(OWN, (WEB1,), None, emit).suite == own.suite
    with pytest.raises(Misuse, match=r"runs \w+, not"):
        lifetime.up(OWN, (WEB1,), next(other for other in SUITES if other != own.suite), emit)


def test_labs_live_side_by_side_and_end_one_by_one(lab: LabHandle, own: LabHandle) -> None:
    assert own.address("web1") != lab.address("web1")
    assert own.address6("web1") != lab.address6("web1")
    own.down()
    assert traces(OWN) == {}
    lab.ssh("web1", "true")


def test_down_leaves_nothing_of_the_lab_on_this_machine(own: LabHandle) -> None:
    own.up(WEB2)
    found = traces(OWN)
    assert {"mounts", "processes", "links", "loops", "groups", "files"} <= set(found), "the search must find a lab"
    names = [machine.machine_name(read_lab(OWN), member) for member in read_lab(OWN).members]
    own.down()
    assert traces(OWN) == {}
    assert [name for name in names for place in machine.NSPAWN if Path(place, name).exists()] == []
    own.down()  # a second time is no error


def test_up_mends_a_lab_whose_machines_and_network_are_gone(own: LabHandle) -> None:
    own.ssh("web1", "sudo sh -c 'echo kept > /opt/file; sync -f /opt'")
    pid = own.status("web1").pid
    os.kill(pid, signal.SIGKILL)
    subprocess.run(("ip", "link", "delete", bridge_name(OWN)), check=True)
    own.up(WEB1)
    assert own.ssh("web1", "cat /opt/file").stdout == "kept\n"


def test_up_mends_a_lab_whose_bridge_vanished_under_running_hosts(own: LabHandle) -> None:
    subprocess.run(("ip", "link", "delete", bridge_name(OWN)), check=True)
    own.up(WEB1)
    own.ssh("web1", "true")


def test_up_begins_anew_when_what_was_written_down_is_lost(own: LabHandle) -> None:
    (LABS / OWN / "lab.json").write_text("{")
    own.up(WEB1, WEB2)
    assert own.ssh("web1", "systemctl is-system-running --wait").stdout == "running\n"
    assert len(own.ssh("web2", "cat /etc/hosts").stdout.splitlines()) == 6


def test_down_removes_a_lab_of_which_nothing_is_written_down(own: LabHandle) -> None:
    (LABS / OWN / "lab.json").unlink()
    own.down()
    assert traces(OWN) == {}


@pytest.mark.parametrize("after", ["booting", "is up"])
def test_up_killed_in_the_middle_is_taken_up_by_the_next(own: LabHandle, after: str) -> None:
    own.down()
    process = subprocess.Popen(up_script(own.suite, "web1", "web2"), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if after in line:
            break
    process.kill()
    process.wait()
    own.up(WEB1, WEB2)
    for host in ("web1", "web2"):
        assert own.ssh(host, "systemctl is-system-running --wait").stdout == "running\n"
    own.down()
    assert traces(OWN) == {}


def test_half_made_files_of_a_host_are_not_used(own: LabHandle) -> None:
    half = LABS / OWN / "hosts" / "web2.new"
    (half / "upper" / "etc").mkdir(parents=True)
    (half / "opt.img").write_text("half")
    own.up(WEB1, WEB2)
    own.ssh("web2", "findmnt /opt")
    assert not half.exists()


def test_hosts_outlive_the_command_that_started_them_and_hold_none_of_its_pipes(own: LabHandle) -> None:
    own.down()
    # Reading to the end of the pipe would hang if a machine had inherited it.
    done = subprocess.run(up_script(own.suite, "web1"), capture_output=True, text=True, timeout=60, check=True)
    assert "is up" in done.stdout
    own.ssh("web1", "true")


@pytest.mark.parametrize(("end", "left"), [(signal.SIGKILL, {"new"}), (signal.SIGINT, set())])
def test_an_up_that_is_ended_leaves_no_half_made_root_file_system_in_use(
    tmp_path: Path, end: signal.Signals, left: set[str]
) -> None:
    cache = tmp_path / "cache"
    making = script(
        "from pathlib import Path",
        f"rootfs.CACHE = Path({str(cache)!r})",
        f"rootfs.layers({SUITES[0]!r}, 'host', lambda event: print(event, flush=True))",
    )
    process = subprocess.Popen(making, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if "extracting" in line:
            break
    process.send_signal(end)
    process.wait()
    _wait(lambda: not _processes_with(str(cache)))
    assert {entry.name.partition("-")[0] for entry in cache.iterdir() if entry.is_dir()} == left
    with rootfs.draft_in(cache) as draft:
        assert {entry for entry in cache.iterdir() if entry.is_dir()} == {draft}, "the next one clears up"
    assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(cache) in line]


def test_the_person_behind_sudo_can_log_in_and_nobody_else_can_read_the_key(
    own: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65534")
    own.up(WEB1)
    files = ("ssh_config", "known_hosts", "id_ed25519", "id_ed25519.pub")
    found = [(LABS / OWN / file).stat() for file in files]
    assert {(stat.st_uid, stat.st_mode & 0o777) for stat in found} == {(65534, 0o600)}
    setpriv = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    login = ("ssh", "-F", str(own.ssh_config), "-o", "BatchMode=yes", "web1", "id -un")
    assert subprocess.run((*setpriv, *login), capture_output=True, text=True, check=True).stdout == "admin\n"
    # Looking is allowed too; changing is not.
    looking = script(f"print(lifetime.status({OWN!r})[0].pid)")
    seen = subprocess.run((*setpriv, *looking), capture_output=True, text=True, check=False)
    assert seen.returncode == 0 or "Permission" in seen.stderr
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(Refused, match="needs root"):
        own.up(WEB1)


def test_a_host_with_another_key_than_the_labs_is_not_logged_in_to(own: LabHandle) -> None:
    replace = "ssh-keygen -qt ed25519 -N '' -f other && sudo cp other /etc/ssh/ssh_host_ed25519_key"
    own.ssh("web1", f"{replace} && sudo systemctl restart ssh")
    refused = own.ssh("web1", "true", check=False)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_a_disk_that_something_else_still_holds_is_not_mounted_twice(
    own: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.crash("web1")
    image = LABS / OWN / "hosts" / "web1" / "opt.img"
    device = subprocess.run(
        ("losetup", "--find", "--show", str(image)), capture_output=True, text=True, check=True
    ).stdout
    monkeypatch.setattr(disk, "RELEASED_WITHIN", 0.2)
    try:
        with pytest.raises(machine.Failed, match="still in use"):
            own.boot("web1")
    finally:
        subprocess.run(("losetup", "--detach", device.strip()), check=True)
    own.boot("web1")


def test_status_tells_what_is_up_and_what_is_off(own: LabHandle) -> None:
    assert Path(f"/proc/{own.status('web1').pid}").exists()
    own.crash("web1")
    assert own.status("web1").pid == 0
    with pytest.raises(Misuse, match="no host 'web7'"):
        own.crash("web7")
    with pytest.raises(Refused, match="there is no lab 'nolab'"):
        lifetime.status("nolab")


def test_the_inotify_limit_is_raised_while_it_is_needed(
    own: LabHandle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    monkeypatch.setattr(inotify, "LIMIT", limit)
    monkeypatch.setattr(inotify, "BEFORE", tmp_path / "before")
    own.up(WEB1)
    raised = int(limit.read_text())
    assert raised >= 128 + inotify.EACH
    inotify.give_back()
    assert int(limit.read_text()) == raised, "a lab that runs needs it"
    monkeypatch.setattr(inotify, "known_labs", tuple)
    inotify.give_back()
    assert limit.read_text() == "128\n"


def _wait(until: object, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    assert callable(until)
    while not until():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _processes_with(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except OSError:
            continue
        if text in command and int(process.name) != os.getpid():
            found.append(command)
    return found
