"""One host of a lab: its files, its boot, its sudden ends."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from warpbeam.error import Failed
from warpbeam.lab import cgroup
from warpbeam.lab.client import host_names, key_file, known_hosts_file, make_key, ssh_argv
from warpbeam.lab.command import environment, run
from warpbeam.lab.network import address4, address6, addresses, drop_link, host_link, machine_name
from warpbeam.lab.state import Lab, Member, remove_tree

HERE = Path(__file__).parent
ADMIN = 1000
SSH = 22
# A boot takes a second or two; many at once on a small machine take longer.
READY_WITHIN = 120.0
RELEASED_WITHIN = 20.0
# How long a host may have no process at all, before it counts as ended.
BEGUN_WITHIN = 3.0
POLL = 0.05
# A host that does not take its names in that time goes without.
NAMED_WITHIN = 10.0
# How much of a console is read at most.
CONSOLE = 64 * 1024
# What is noted of a host beside its tree.
HOST_KEY = "host_key.pub"
HOST_NAMES = "host_names"
# What nspawn keeps for each machine besides, and cannot clear away when it is killed.
NSPAWN = ("/run/systemd/nspawn/propagate", "/run/systemd/nspawn/unix-export")
# linux/fs.h, fs/ext4/ext4.h: end a mounted file system at once; not even its journal is written any more.
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


def is_running(lab: str, host: str) -> bool:
    """Whether the host has a PID 1."""
    return cgroup.leader(lab, host) is not None


def make_files(lab: Lab, member: Member) -> None:
    """Make the directory of a host, whole or not at all: its layer of the file system, its disk for /opt.

    Only here does this machine write into a host's tree, or read of it: as soon as the host has run, any name in there
    may be a link that leads out of it, or a pipe. What we must know of it later is noted beside its tree.
    """
    home = lab.home(member)
    if home.is_dir():
        return
    draft = home.with_name(f"{member.name}.new")
    remove_tree(draft)
    for name in ("upper", "work", "root"):
        (draft / name).mkdir(parents=True)
    own = draft / "upper"
    _write(own / "etc/hostname", f"{member.name}\n")
    _write(own / "etc/hosts", host_names(lab, member))
    _write(own / "etc/machine-id", f"{member.machine_id}\n")
    _write(own / "etc/systemd/network/10-lab.network", _network(lab, member))
    key = own / "etc/ssh/ssh_host_ed25519_key"
    key.parent.mkdir(parents=True)
    make_key(key, member.name)
    admin = own / "home/admin"
    _write(admin / ".ssh/authorized_keys", key_file(lab.name).with_suffix(".pub").read_text(), 0o600)
    admin.joinpath(".ssh").chmod(0o700)
    for file in (admin, admin / ".ssh", admin / ".ssh/authorized_keys"):
        os.chown(file, ADMIN, ADMIN)
    disk = draft / "opt.img"
    with disk.open("wb") as image:
        image.truncate(lab.opt_size * 1024 * 1024)
    run("mkfs.ext4", "-q", "-F", "-L", "opt", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(disk))
    (draft / HOST_KEY).write_text(key.with_name(f"{key.name}.pub").read_text())
    (draft / HOST_NAMES).write_text(host_names(lab, member))
    draft.rename(home)


def host_key(lab: Lab, member: Member) -> str:
    """The public half of the host key that was made for that host.

    Raises:
        Failed: nobody noted it; nothing that the host says of itself is taken for it.
    """
    noted = lab.home(member) / HOST_KEY
    if noted.exists():
        return noted.read_text()
    # A lab of an earlier version: there the last `lab.up` noted it for ssh alone.
    known = known_hosts_file(lab.name)
    for line in known.read_text().splitlines() if known.exists() else ():
        names, _, key = line.partition(" ")
        if member.name in names.split(","):
            noted.write_text(f"{key}\n")
            return key
    raise Failed(
        f"the host key of {member.name} of lab {lab.name} is written down nowhere",
        f"make the lab anew: `fab lab.down --name {lab.name}`, then `fab lab.up --name {lab.name}`",
    )


def boot(lab: Lab, member: Member) -> None:
    """Boot a host that does not run; returns once it has begun. What a crash left is cleared away first.

    Raises:
        Failed: something still holds its disk.
    """
    crash(lab, member)
    forget(lab, member)
    groups = cgroup.make(lab.name, member.name)
    home = lab.home(member)
    log = home / "console.log"
    script = (
        *("unshare", "--mount", str(HERE / "boot.sh"), str(home), ":".join(member.layers)),
        *(machine_name(lab, member), member.name, lab.bridge, member.machine_id, *map(str, groups)),
    )
    if cgroup.has_systemd():
        unit = cgroup.unit_name(lab.name, member.name)
        log.touch()
        properties = (
            "Delegate=yes",
            f"StandardOutput=append:{log}",
            f"StandardError=append:{log}",
            "TasksMax=infinity",
        )
        run(
            *("systemd-run", "--quiet", "--collect", f"--unit={unit}", "--service-type=exec"),
            *(f"--property={line}" for line in properties),
            *script,
        )
        return
    with log.open("ab") as output:
        # A session of its own and no pipe of ours: it outlives `fab`, and nobody waits for its output to end.
        subprocess.Popen(  # noqa: S603 - our own script
            script,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(),
            cwd="/",
            start_new_session=True,
        )


def wait_ready(lab: Lab, member: Member) -> None:
    """Wait until sshd of the host answers, which it does only once people may log in.

    Raises:
        Failed: the host ended, or did not get that far; the details are the end of its console.
    """
    deadline = time.monotonic() + READY_WITHIN
    address = addresses(lab, member)[0]
    seen = time.monotonic()
    while time.monotonic() < deadline:
        if _answers(address):
            return
        if cgroup.processes(lab.name, member.name):
            seen = time.monotonic()
        elif time.monotonic() > seen + BEGUN_WITHIN:
            break
        time.sleep(POLL)
    log = lab.home(member) / "console.log"
    console = end_of(log).splitlines() if log.exists() else []
    raise Failed(
        f"{member.name} of lab {lab.name} did not boot",
        f"its console is in {log}",
        details=tuple(console[-15:]),
    )


def crash(lab: Lab, member: Member) -> None:
    """End the whole host at once, as a kernel panic does; this machine still has what it wrote, in memory."""
    cgroup.kill(lab.name, member.name)
    wait_released(lab.home(member) / "opt.img")


def forget(lab: Lab, member: Member) -> None:
    """Remove what systemd-nspawn left behind of a host that was killed, outside of the host's directory."""
    drop_link(host_link(lab, member))
    for directory in NSPAWN:
        remove_tree(Path(directory, machine_name(lab, member)))


def power_loss(lab: Lab, member: Member) -> None:
    """End the whole host as a power cut does: at its next boot /opt has what had reached the disk, no more.

    Its processes are stopped where they are, and ext4 is told to shut down without writing anything back, as
    xfstests do to test recovery (`src/godown.c`). A copy of the image would take longer, and not be of one
    instant. Files outside /opt are as after a crash.

    Raises:
        Failed: the host does not run.
    """
    if not is_running(lab.name, member.name):
        raise Failed(f"{member.name} of lab {lab.name} does not run", f"`fab lab.boot {member.name}` boots it")
    disk = _open_disk(lab, member)
    try:
        cgroup.freeze(lab.name, member.name)
        fcntl.ioctl(disk, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(disk)
        cgroup.kill(lab.name, member.name)
    wait_released(lab.home(member) / "opt.img")


def update_host_names(lab: Lab, member: Member) -> bool:
    """Have a running host bring its /etc/hosts up to date, after hosts were added; whether it did.

    By its own hands, over ssh: in there this machine's root would follow whatever link the host has made.
    """
    noted = lab.home(member) / HOST_NAMES
    text = host_names(lab, member)
    if noted.exists() and noted.read_text() == text:
        return True
    try:
        done = subprocess.run(  # noqa: S603 - argument lists of our own making
            ssh_argv(lab.name, member.name, ("sudo -n tee /etc/hosts",)),
            input=text,
            text=True,
            # The host may say what it likes, without end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            timeout=NAMED_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == 0:
        noted.write_text(text)
    return done.returncode == 0


def end_of(log: Path) -> str:
    """The last lines of a host's console, which may be of any length."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE))
        return file.read(CONSOLE).decode(errors="replace")


def loops(image: Path) -> tuple[str, ...]:
    """The loop devices that have `image` in them."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip().removesuffix(" (deleted)") == str(image):
                found.append(backing.parts[3])
        except OSError:
            continue
    return tuple(sorted(found))


def wait_released(image: Path) -> None:
    """Wait until the kernel has unmounted a disk image: two mounts of it at once would destroy it.

    Raises:
        Failed: something else holds it.
    """
    deadline = time.monotonic() + RELEASED_WITHIN
    while held := loops(image):
        if time.monotonic() > deadline:
            raise Failed(
                f"{image} is still in use, on {', '.join(held)}",
                f"see who has it mounted: grep -l {held[0]} /proc/*/mounts",
            )
        time.sleep(POLL)


def _open_disk(lab: Lab, member: Member) -> int:
    """The file system of a running host's /opt, by the mount that it was booted with.

    Not by the host's own /opt, which may be a link to any file system of this machine.

    Raises:
        Failed: it is not there.
    """
    place = lab.home(member) / "opt"
    for watcher in cgroup.watchers(lab.name, member.name):
        with suppress(OSError):
            disk = os.open(f"/proc/{watcher}/root{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            device = os.fstat(disk).st_dev
            name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
            if name in loops(lab.home(member) / "opt.img"):
                return disk
            os.close(disk)
    raise Failed(
        f"the disk of {member.name} of lab {lab.name} is not mounted at {place}",
        f"an earlier version booted it: `fab lab.crash {member.name}`, then `fab lab.boot {member.name}`",
    )


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, SSH), timeout=1) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _network(lab: Lab, member: Member) -> str:
    """The host's own static addresses; no duplicate detection, which would hold IPv6 back for a second."""
    four, six = addresses(lab, member)
    return f"""\
[Match]
Name=host0

[Network]
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
LLMNR=no
MulticastDNS=no

[Address]
Address={four}/24

[Address]
Address={six}/64
DuplicateAddressDetection=none

[Route]
Gateway={address4(lab.network, 1)}

[Route]
Gateway={address6(lab.network, 1)}
"""


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
