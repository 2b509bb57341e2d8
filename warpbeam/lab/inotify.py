"""The one kernel limit that a lab exceeds: how many inotify instances root may have.

Every systemd, journald and networkd has a few, and those of all hosts of a lab belong to this machine's root. With the
usual limit of 128, about the ninth host does not boot (inotify(7), /proc/sys/fs/inotify/max_user_instances).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from warpbeam.event import Emit, Note
from warpbeam.lab.state import LABS, known_labs, locked

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
# A file with the limit before it was raised; it exists only while the limit is raised.
BEFORE = LABS.parent / "inotify-before"
# Held while the limit changes: otherwise a lab that is removed could lower what a new lab has just raised.
LOCK = LABS / "inotify.lock"
# Instances for each host (8 were counted: `find /proc/*/fd -lname anon_inode:inotify`), and for everything else.
EACH = 16
REST = 128


def suffice(count_hosts: Callable[[], int], emit: Emit) -> None:
    """Raise the limit where it is too low for the hosts of all labs together."""
    with locked(LOCK):
        now = int(LIMIT.read_text())
        wanted = REST + count_hosts() * EACH
        if now >= wanted:
            return
        if not BEFORE.exists():
            BEFORE.write_text(f"{now}\n")
        LIMIT.write_text(f"{wanted}\n")
    emit(Note(host="", text=f"raised fs.inotify.max_user_instances to {wanted} until the last `lab.down`"))


def give_back() -> None:
    """Restore the limit where it was raised and no lab is left."""
    with locked(LOCK):
        if BEFORE.exists() and not known_labs():
            LIMIT.write_text(BEFORE.read_text())
            BEFORE.unlink()
