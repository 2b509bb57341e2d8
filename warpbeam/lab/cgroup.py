"""The control groups of a lab's machines: every process in the groups of a machine belongs to that machine.

Each machine has one group of its own in every hierarchy that systemd uses (cgroup2, and the legacy `name=systemd` where
there is one). `systemd-nspawn --keep-unit` puts a machine below the group that nspawn is started in: machines in one
group would share the groups of their units too, and kill each other's processes.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from warpbeam.error import Failed, Refused

GONE_WITHIN = 10.0
FROZEN_WITHIN = 1.0
POLL = 0.01


def hierarchies(mountinfo: str) -> tuple[Path, ...]:
    """Return the hierarchies that systemd uses, from the text of /proc/self/mountinfo (proc(5)).

    Raises:
        Refused: there is none.
    """
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = (*after.split(), "", "", "")[:3]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(before.split()[4]))
    if not found:
        raise Refused("no control groups are mounted on this machine", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    return tuple(dict.fromkeys(found))


def has_systemd() -> bool:
    """Whether systemd runs this machine (sd_booted(3)), and so manages its control groups."""
    return Path("/run/systemd/system").is_dir()


def unit_name(lab: str, host: str) -> str:
    """Return the service in which a machine runs where this machine has systemd."""
    return f"warpbeam-{lab}-{host}.service"


def groups(lab: str, host: str) -> tuple[Path, ...]:
    """Return the groups of one machine; they exist while the machine runs."""
    below = Path("system.slice", unit_name(lab, host)) if has_systemd() else Path("warpbeam", lab, host)
    return tuple(top / below for top in _own_hierarchies())


def hosts_of(lab: str) -> tuple[str, ...]:
    """Return the hosts of a lab that have a group, whether or not the lab's state names them."""
    names: set[str] = set()
    for top in _own_hierarchies():
        if has_systemd():
            begin, _, end = unit_name(lab, "*").partition("*")
            found = (top / "system.slice").glob(f"{begin}*{end}")
            names.update(entry.name.removeprefix(begin).removesuffix(end) for entry in found)
        elif (top / "warpbeam" / lab).is_dir():
            names.update(entry.name for entry in (top / "warpbeam" / lab).iterdir() if entry.is_dir())
    return tuple(sorted(names))


def processes(lab: str, host: str) -> frozenset[int]:
    """Return the processes of one machine, including systemd-nspawn and boot.sh."""
    found: set[int] = set()
    for group in groups(lab, host):
        for directory, _, _ in os.walk(group):
            with suppress(OSError):
                found.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
    return frozenset(pid for pid in found if not _is_dead(pid))


def leader(lab: str, host: str) -> int | None:
    """Return the process that is PID 1 inside the machine, or None while there is none."""
    for pid in processes(lab, host):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            inside = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            # The PID here and the PID inside; a process in a deeper namespace (PrivatePIDs=) has more.
            if len(inside) == 1 + _depth() and inside[-1] == "1":
                return pid
    return None


def watchers(lab: str, host: str) -> frozenset[int]:
    """Return the processes outside the machine that wait for its end; its disks are mounted in their namespace."""
    found: set[int] = set()
    for group in groups(lab, host):
        with suppress(OSError):
            found.update(map(int, (group / "watch" / "cgroup.procs").read_text().split()))
    return frozenset(pid for pid in found if not _is_dead(pid))


def freeze(lab: str, host: str) -> None:
    """Freeze all processes of one machine, if this kernel can (cgroup2, Linux 5.2).

    `kill` ends frozen processes too.
    """
    for group in groups(lab, host):
        switch = group / "cgroup.freeze"
        if not switch.exists():
            continue
        switch.write_text("1")
        deadline = time.monotonic() + FROZEN_WITHIN
        while "frozen 1" not in (group / "cgroup.events").read_text() and time.monotonic() < deadline:
            time.sleep(POLL)


def kill(lab: str, host: str) -> None:
    """Kill every process in one machine's groups at once, and remove the groups.

    Raises:
        Failed: a process did not end.
    """
    deadline = time.monotonic() + GONE_WITHIN
    while pids := processes(lab, host):
        if time.monotonic() > deadline:
            shown = ", ".join(map(str, sorted(pids)[:5]))
            raise Failed(f"processes of {host} of lab {lab} do not end: {shown}", "look at /proc/PID/stack")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL)
    remove(lab, host)


def remove(lab: str, host: str) -> None:
    """Remove one machine's groups, and the lab's group after its last machine; a group in use stays."""
    for group in groups(lab, host):
        for directory, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(directory), patiently=True)
        if not has_systemd():
            for above in (group.parent, group.parent.parent):
                _remove_group(above)


def make(lab: str, host: str) -> tuple[Path, ...]:
    """Return the paths of one machine's groups; make them, with every controller, where systemd does not."""
    made = groups(lab, host)
    if not has_systemd():
        for group in made:
            _make_group(group)
            for above in reversed(group.parents[:3]):
                _pass_controllers(above)
    return made


def _make_group(group: Path) -> None:
    """Make a group and those above it; try again where another lab, at its end, removes an empty one meanwhile."""
    while not group.is_dir():
        with suppress(FileNotFoundError):
            group.mkdir(parents=True, exist_ok=True)


def _pass_controllers(group: Path) -> None:
    with suppress(OSError):
        for controller in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_group(group: Path, patiently: bool = False) -> None:
    """Remove an empty group; the kernel may need a moment after the end of the last process."""
    for _ in range(100 if patiently else 1):
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(POLL if patiently else 0)
        else:
            return


def _own_hierarchies() -> tuple[Path, ...]:
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def _depth() -> int:
    """Return how many PIDs the NSpid line of /proc/self/status has: 1, since /proc is of this process's namespace."""
    status = Path("/proc/self/status").read_text()
    return next(len(line.split()) - 1 for line in status.splitlines() if line.startswith("NSpid:"))


def _is_dead(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
