"""One host of a lab: its files, its boot, its crash and its power loss."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from warpbeam.error import Failed
from warpbeam.lab import cgroup
from warpbeam.lab.client import host_names, key_file, known_hosts_file, make_key, ssh_argv
from warpbeam.lab.command import environment, run
from warpbeam.lab.disk import opened_disk, shut_down, wait_released
from warpbeam.lab.network import address4, address6, addresses, drop_link, host_link, machine_name
from warpbeam.lab.state import Lab, Member, remove_tree

HERE = Path(__file__).parent
ADMIN = 1000
SSH = 22
# A boot takes a second or two; many boots at once on a small machine take longer.
READY_WITHIN = 120.0
# How long a host may have no process at all before it counts as ended.
BEGUN_WITHIN = 3.0
POLL = 0.05
# A host that does not update its /etc/hosts in that time keeps the old one.
NAMED_WITHIN = 10.0
# The most bytes of a console's log that are read.
CONSOLE = 64 * 1024
# Files in a host's directory, outside its tree, with what this machine wrote into the tree.
HOST_KEY = "host_key.pub"
HOST_NAMES = "host_names"
# Directories where nspawn keeps files for each machine; they stay behind when nspawn is killed.
NSPAWN = ("/run/systemd/nspawn/propagate", "/run/systemd/nspawn/unix-export")


def is_running(lab: str, host: str) -> bool:
    """Whether the host has a PID 1."""
    return cgroup.leader(lab, host) is not None


def make_files(lab: Lab, member: Member) -> None:
    """Make the directory of a host, as a whole or not at all: its layer of the file system, its disk for /opt.

    This machine writes and reads a host's tree only here: once the host has run, any name in the tree may be a link
    that leads out, or a pipe. What must be known later is noted beside the tree.
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
    """Return the public half of the host key that was made for that host.

    Raises:
        Failed: it was not noted; a key that the host itself shows is not trusted.
    """
    noted = lab.home(member) / HOST_KEY
    if noted.exists():
        return noted.read_text()
    # A lab of an earlier version of Warpbeam: its `lab.up` noted the key only in known_hosts.
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
    """Start booting a host that does not run, without waiting; first removes what a crash left behind.

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
        # A session of its own and no pipe: the machine outlives `fab`, and no reader waits for the end of its output.
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
    """Wait until the host's sshd answers, which it does only once users may log in.

    Raises:
        Failed: the host ended, or did not answer in time; the details are the end of its console.
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
    """End the whole host at once, as a kernel panic does; its writes stay in this machine's memory."""
    cgroup.kill(lab.name, member.name)
    wait_released(lab.home(member) / "opt.img")


def forget(lab: Lab, member: Member) -> None:
    """Remove what systemd-nspawn left outside of the host's directory when the host was killed."""
    drop_link(host_link(lab, member))
    for directory in NSPAWN:
        remove_tree(Path(directory, machine_name(lab, member)))


def power_loss(lab: Lab, member: Member) -> None:
    """End the whole host as a power cut does: at its next boot /opt has only what had reached the disk.

    The processes are frozen, and ext4 shuts down without writing anything back, as xfstests do to test recovery
    (`src/godown.c`). A copy of the image would take longer, and would not show one instant. Files outside /opt are as
    after a crash.

    Raises:
        Failed: the host does not run.
    """
    if not is_running(lab.name, member.name):
        raise Failed(f"{member.name} of lab {lab.name} does not run", f"`fab lab.boot {member.name}` boots it")
    with opened_disk(lab, member) as disk:
        try:
            cgroup.freeze(lab.name, member.name)
            shut_down(disk)
        finally:
            cgroup.kill(lab.name, member.name)
    wait_released(lab.home(member) / "opt.img")


def update_host_names(lab: Lab, member: Member) -> bool:
    """Update /etc/hosts of a running host after hosts were added; return whether that succeeded.

    The host does it itself, over ssh: in its tree this machine's root would follow any link that the host has made.
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
            # The host's output may be anything, without end.
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
    """Return the end of a host's console, whose log may have any length."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE))
        return file.read(CONSOLE).decode(errors="replace")


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, SSH), timeout=1) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _network(lab: Lab, member: Member) -> str:
    """Return the text of the host's .network file: static addresses, without IPv6 duplicate detection (a second)."""
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
