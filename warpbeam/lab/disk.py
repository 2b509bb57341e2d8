"""The disk of a lab's host: an image with an ext4 file system, mounted at the host's /opt."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warpbeam.error import Failed
from warpbeam.lab import cgroup
from warpbeam.lab.state import Lab, Member

# The size of a new host's disk, in MiB.
OPT_SIZE = 2048
RELEASED_WITHIN = 20.0
POLL = 0.05
# linux/fs.h, fs/ext4/ext4.h: shut a mounted file system down at once, without writing its journal.
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


def loops(image: Path) -> tuple[str, ...]:
    """Return the loop devices that are backed by `image`."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip().removesuffix(" (deleted)") == str(image):
                found.append(backing.parts[3])
        except OSError:
            continue
    return tuple(sorted(found))


def wait_released(image: Path) -> None:
    """Wait until the kernel has unmounted a disk image: two mounts at once would destroy it.

    Raises:
        Failed: the image is still in use at the end of that time.
    """
    deadline = time.monotonic() + RELEASED_WITHIN
    while held := loops(image):
        if time.monotonic() > deadline:
            raise Failed(
                f"{image} is still in use, on {', '.join(held)}",
                f"see who has it mounted: grep -l {held[0]} /proc/*/mounts",
            )
        time.sleep(POLL)


@contextmanager
def opened_disk(lab: Lab, member: Member) -> Iterator[int]:
    """Yield a descriptor of the file system of a running host's /opt, from the mount that boot.sh made.

    The host's own /opt is not used: it may be a link to any file system of this machine.

    Raises:
        Failed: the disk is not mounted there.
    """
    place = lab.home(member) / "opt"
    image = lab.home(member) / "opt.img"
    for watcher in cgroup.watchers(lab.name, member.name):
        try:
            disk = os.open(f"/proc/{watcher}/root{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _device(disk) in loops(image):
                yield disk
                return
        finally:
            os.close(disk)
    raise Failed(
        f"the disk of {member.name} of lab {lab.name} is not mounted at {place}",
        f"an earlier version booted it: `fab lab.crash {member.name}`, then `fab lab.boot {member.name}`",
    )


def shut_down(disk: int) -> None:
    """Shut the file system of that descriptor down, without writing anything back."""
    fcntl.ioctl(disk, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))


def _device(disk: int) -> str:
    """Return the kernel's name of the device below a descriptor's file system."""
    device = os.fstat(disk).st_dev
    return Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
