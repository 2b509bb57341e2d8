"""The control groups of a lab's machines: what runs in them is the machine, whoever started it and however.

Each machine has one group of its own in every hierarchy that systemd uses (cgroup2, and the legacy
`name=systemd` where there is one), because `systemd-nspawn --keep-unit` puts the machine below the group
that it is started in: machines that shared one would share their units' groups too, and kill each other's.
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
    """The hierarchies that systemd uses, from the text of /proc/self/mountinfo (proc(5)).

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
    """Whether systemd runs this machine (sd_booted(3)); control groups are then its to give out."""
    return Path("/run/systemd/system").is_dir()


def unit_name(lab: str, host: str) -> str:
    """The service that a machine is where systemd runs outside."""
    return f"warpbeam-{lab}-{host}.service"


def groups(lab: str, host: str) -> tuple[Path, ...]:
    """The groups of one machine; they exist while it runs."""
    below = Path("system.slice", unit_name(lab, host)) if has_systemd() else Path("warpbeam", lab, host)
    return tuple(top / below for top in _own_hierarchies())


def hosts_of(lab: str) -> tuple[str, ...]:
    """The hosts of a lab that have a group, whatever is written down about the lab."""
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
    """The processes of one machine, systemd-nspawn and what watches it included."""
    found: set[int] = set()
    for group in groups(lab, host):
        for directory, _, _ in os.walk(group):
            with suppress(OSError):
                found.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
    return frozenset(pid for pid in found if not _is_dead(pid))


def leader(lab: str, host: str) -> int | None:
    """The process that is PID 1 inside, or None while there is none."""
    for pid in processes(lab, host):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            inside = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            # Its number here, and the one inside; a deeper namespace (PrivatePIDs=) would show more.
            if len(inside) == 1 + _depth() and inside[-1] == "1":
                return pid
    return None


def watchers(lab: str, host: str) -> frozenset[int]:
    """The processes outside the machine that wait for its end: they have the mounts that it was made of."""
    found: set[int] = set()
    for group in groups(lab, host):
        with suppress(OSError):
            found.update(map(int, (group / "watch" / "cgroup.procs").read_text().split()))
    return frozenset(pid for pid in found if not _is_dead(pid))


def freeze(lab: str, host: str) -> None:
    """Stop all processes of one machine where they are, if this kernel can (cgroup2, Linux 5.2).

    `kill` works on them all the same.
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
    """End everything in one machine's groups at once, and remove the groups.

    Raises:
        Failed: something did not end.
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
    """Remove one machine's groups, and the lab's when it is the last; a group in use stays."""
    for group in groups(lab, host):
        for directory, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(directory), patiently=True)
        if not has_systemd():
            for above in (group.parent, group.parent.parent):
                _remove_group(above)


def make(lab: str, host: str) -> tuple[Path, ...]:
    """Make one machine's groups where systemd does not, with every controller there is; give their paths."""
    made = groups(lab, host)
    if not has_systemd():
        for group in made:
            _make_group(group)
            for above in reversed(group.parents[:3]):
                _pass_controllers(above)
    return made


def _make_group(group: Path) -> None:
    """Make a group and those above it, which may vanish meanwhile: another lab that ends removes what is empty."""
    while not group.is_dir():
        with suppress(FileNotFoundError):
            group.mkdir(parents=True, exist_ok=True)


def _pass_controllers(group: Path) -> None:
    with suppress(OSError):
        for controller in (group / "cgroup.controllers").read_text().split():
            with suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_group(group: Path, patiently: bool = False) -> None:
    """Remove an empty group; the kernel may need a moment to see that its last process is gone."""
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
    """How deep this process's own PID namespace is, counted as /proc/PID/status does from here: always 1."""
    status = Path("/proc/self/status").read_text()
    return next(len(line.split()) - 1 for line in status.splitlines() if line.startswith("NSpid:"))


def _is_dead(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
