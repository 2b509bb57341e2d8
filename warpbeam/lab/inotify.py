"""The one kernel limit that a lab outgrows: how many inotify instances root may have.

Every systemd, journald and networkd has a few, and all of a lab's belong to this machine's root. With the
usual 128 the ninth host or so does not boot (inotify(7), /proc/sys/fs/inotify/max_user_instances).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from warpbeam.event import Emit, Note
from warpbeam.lab.state import LABS, known_labs, locked

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
# What it was before we raised it; there only while we have.
BEFORE = LABS.parent / "inotify-before"
# Two labs that are made or removed at once: one would lower what the other has just raised.
LOCK = LABS / "inotify.lock"
# Each host's share (8 were counted: `find /proc/*/fd -lname anon_inode:inotify`), and what is for all others.
EACH = 16
REST = 128


def suffice(count_hosts: Callable[[], int], emit: Emit) -> None:
    """Raise the limit, if it is too low for the hosts of all labs together."""
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
    """Set the limit to what it was, if we raised it and no lab is left that needs it."""
    with locked(LOCK):
        if BEFORE.exists() and not known_labs():
            LIMIT.write_text(BEFORE.read_text())
            BEFORE.unlink()
