"""Requirements of a lab: what this machine must have before one can be made."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from warpbeam.error import Refused
from warpbeam.event import Emit, Note, Step
from warpbeam.lab.command import PATH, run
from warpbeam.lab.state import LABS, locked

MACHINE_ID = Path("/etc/machine-id")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LOCK = LABS / "requirement.lock"
# Program -> the Debian package that has it.
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}


def require_root(doing: str) -> None:
    """Raise `Refused` where this is not Linux or the user is not root; `doing` begins the message."""
    if platform.system() != "Linux":
        raise Refused(
            f"{doing} needs Linux: its hosts run on this machine's kernel, and this is {platform.system()}",
            "use a Debian virtual machine, or write an inventory for hosts of your own",
        )
    if os.geteuid() != 0:
        raise Refused(
            f"{doing} needs root: it mounts file systems and makes network devices",
            "run it with sudo; the keys and the ssh_config it makes will belong to you",
        )


def missing_packages() -> tuple[str, ...]:
    """Return the Debian packages that are missing on this machine."""
    wanted = [package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None]
    if not KEYRING.exists():
        wanted.append("debian-archive-keyring")
    return tuple(dict.fromkeys(wanted))


def require_identity(emit: Emit) -> None:
    """Give this machine a machine-id where it has none, as in fresh container images.

    systemd-nspawn derives the hosts' MAC addresses from the machine-id, and does not start without one.
    """
    if not MACHINE_ID.exists() or not MACHINE_ID.read_text().strip():
        emit(Note(host="", text=f"this machine has no identity yet: making {MACHINE_ID}"))
        run("systemd-machine-id-setup")


def require_programs(emit: Emit) -> None:
    """Install the missing packages with apt.

    Raises:
        Refused: packages are missing and there is no apt.
        Failed: apt could not install them.
    """
    if not missing_packages():
        return
    # apt refuses to run twice at once. After the wait for the lock, everything may be installed already.
    with locked(LOCK):
        missing = missing_packages()
        if not missing:
            return
        if shutil.which("apt-get") is None:
            raise Refused(
                f"this machine lacks what these Debian packages have: {', '.join(missing)}",
                "install them with your distribution's package manager",
            )
        emit(Step(host="", name=f"installing {', '.join(missing)}"))
        run("apt-get", "update", "-q")
        run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)
