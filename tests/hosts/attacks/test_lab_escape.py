"""Attacks on this machine, by root on a lab's host or by a user of this machine; each test breaks its own lab."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.lab.test_lab import OWN, WEB1, WEB2, _wait, own
from tests.lab import LabHandle
from warpbeam.lab import cgroup, machine, rootfs
from warpbeam.lab.state import LABS, read_lab

__all__ = ["own"]

HOME = LABS / OWN / "hosts" / "web1"
# Somebody who has an account on this machine, and nothing else. What it executes itself setpriv still finds with root's
# capabilities (PR_SET_KEEPCAPS), so `env` must do it.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A directory of this machine with a file in it, both as they were afterwards."""
    directory = tmp_path / "marker"
    directory.mkdir()
    (directory / "file").write_text("ssh-ed25519 untouched\n")
    yield directory
    assert [(entry.name, entry.read_text()) for entry in directory.iterdir()] == [("file", "ssh-ed25519 untouched\n")]


def root(own: LabHandle, script: str) -> str:
    """Run that script as root on the host; return its output."""
    return own.ssh("web1", "sudo bash -se", stdin=script).stdout


# Links in place of a file that the next command might write, or read, on its path into the host.
IN_PLACE = {
    "a link": "ln -sfnT {marker}/file {path}",
    "a link to a directory": "ln -sfnT {marker} {path}",
    "a directory": "rm -f {path}; mkdir {path}",
    "nothing": "rm -f {path}",
}
KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
PATHS = ("/etc/hosts", KEY, "/etc/hostname")


@pytest.mark.parametrize("thing", IN_PLACE)
def test_up_leaves_alone_what_a_running_host_has_in_a_files_place(own: LabHandle, marker: Path, thing: str) -> None:
    root(own, "\n".join(IN_PLACE[thing].format(marker=marker, path=path) for path in PATHS))

    own.up(WEB1, WEB2)

    assert "untouched" not in own.ssh_config.with_name("known_hosts").read_text()
    own.ssh("web2", "true")


def test_up_leaves_alone_what_a_host_that_is_off_has_in_a_files_place(own: LabHandle, marker: Path) -> None:
    root(own, "\n".join(IN_PLACE["a link"].format(marker=marker, path=path) for path in PATHS))
    own.crash("web1")

    own.up(WEB1, WEB2)

    assert "untouched" not in own.ssh_config.with_name("known_hosts").read_text()


def test_up_goes_through_no_link_that_a_host_has_in_a_directorys_place(
    own: LabHandle, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (marker / "file").rename(marker / "hosts")
    root(own, f"mv -T /etc /etc.was; ln -s {marker} /etc")
    own.crash("web1")

    # It cannot boot without its /etc; that is its own affair.
    monkeypatch.setattr(machine, "READY_WITHIN", 5.0)
    with pytest.raises(machine.Failed, match="web1 of lab"):
        own.up(WEB1, WEB2)

    assert (marker / "hosts").read_text() == "ssh-ed25519 untouched\n"
    (marker / "hosts").rename(marker / "file")


def running(host: str, word: bytes) -> list[int]:
    """The processes of our own lab's host that have `word` in their arguments."""
    pids = []
    for pid in cgroup.processes(OWN, host):
        # Others may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                pids.append(pid)
    return pids


def outer_mounts(host: str) -> set[str]:
    """Return the places of the mounts that the host's own part of this machine has, and this machine has not."""
    pids = running(host, b"boot.sh")
    ours = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert pids
    return {
        place
        for pid in pids
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        if (place := line.split()[4]) not in ours
    }


def outer_tree(marker: Path) -> str:
    """Return a script for a host's root, so /opt leads to a directory of this machine at the next boot."""
    return f"umount -l /opt; rmdir /opt; ln -s {marker} /opt"


def test_a_boot_after_a_crash_mounts_nothing_where_a_host_has_led_its_opt(own: LabHandle, marker: Path) -> None:
    root(own, outer_tree(marker))
    own.crash("web1")

    own.boot("web1")

    assert {place for place in outer_mounts("web1") if not place.startswith(f"{HOME}/")} == set()


def test_a_reboot_of_its_own_mounts_nothing_where_a_host_has_led_its_opt(own: LabHandle, marker: Path) -> None:
    before = own.status("web1").pid
    root(own, outer_tree(marker))
    own.ssh("web1", "sudo systemctl reboot", check=False)
    _wait(lambda: own.status("web1").pid not in (0, before))
    machine.wait_ready(read_lab(OWN), read_lab(OWN).member("web1"))

    assert {place for place in outer_mounts("web1") if not place.startswith(f"{HOME}/")} == set()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of this machine, in a file."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(("mkfs.ext4", "-q", "-F", str(image)), check=True)
    subprocess.run(("mount", "-o", "loop", str(image), str(place)), check=True)
    yield place
    subprocess.run(("umount", str(place)), check=True)


def test_a_power_loss_ends_no_file_system_but_the_hosts_own(own: LabHandle, disk: Path) -> None:
    root(own, f"umount -l /opt; rmdir /opt; ln -s {disk} /opt")

    own.power_loss("web1")

    (disk / "still").write_text("written\n")
    os.sync()
    assert (disk / "still").read_text() == "written\n"
    assert own.status("web1").pid == 0


def nobody(*command: str) -> subprocess.CompletedProcess[str]:
    """Run that command as an ordinary local user; return its output."""
    return subprocess.run((*NOBODY, *command), capture_output=True, text=True, check=False, timeout=30, cwd="/")


def test_a_local_user_neither_sees_nor_runs_what_a_host_has(own: LabHandle) -> None:
    root(own, "install -m 4755 /usr/bin/id /usr/local/bin/planted; install -m 4755 /usr/bin/id /opt/planted")
    planted = HOME / "upper/usr/local/bin/planted"
    assert planted.stat().st_mode & 0o4000, "the attack must be there"
    caches = [Path(layer) for layer in rootfs.CACHE.glob("*-host-*")]
    assert caches, "there must be root file systems"

    places = [HOME.parent, HOME, HOME / "upper", HOME / "root", HOME / "opt.img", HOME / "console.log"]
    for place in (*places, rootfs.CACHE, *caches):
        assert nobody("ls", "-d", f"{place}/." if place.is_dir() else str(place)).returncode != 0, place
    for program in (planted, *(cache / "usr/bin/su" for cache in caches)):
        said = nobody("env", str(program), "--help")
        assert (said.returncode, "Permission denied" in said.stderr) == (126, True), (program, said)


def test_a_local_user_of_a_hosts_own_number_gains_nothing_by_its_processes(own: LabHandle) -> None:
    root(own, "install -m 4755 /usr/bin/id /usr/local/bin/planted; systemd-run --uid=65534 sleep 600")
    mine = running("web1", b"sleep\x00600")
    assert mine

    said = nobody("env", f"/proc/{mine[0]}/root/usr/local/bin/planted")

    assert "euid=0" not in said.stdout, said


def test_a_tree_as_deep_as_a_host_likes_is_removed_all_the_same(own: LabHandle) -> None:
    root(own, "perl -e 'chdir q(/srv); for (1..3000) { mkdir q(d); chdir q(d) }'")

    own.down()

    assert not (LABS / OWN).exists()


def test_of_what_a_host_says_on_its_console_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe last line\n")

    said = machine.end_of(log)

    assert said.endswith("the last line\n")
    assert len(said) <= machine.CONSOLE
