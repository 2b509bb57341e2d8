"""The life of a lab: up, down, and the boots and crashes of its hosts in between."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from warpbeam.error import Misuse
from warpbeam.event import Emit, Note, Settled, Step, Warn
from warpbeam.lab import cgroup, machine, rootfs
from warpbeam.lab.client import key_file, make_key, write_client
from warpbeam.lab.command import run
from warpbeam.lab.disk import OPT_SIZE, wait_released
from warpbeam.lab.inotify import give_back, suffice
from warpbeam.lab.network import addresses, choose_network, drop_link, network_lock, plug_in, raise_bridge
from warpbeam.lab.requirement import require_identity, require_programs, require_root
from warpbeam.lab.state import (
    FIRST,
    MOST,
    SUITES,
    HostSpec,
    Kind,
    Lab,
    Member,
    Suite,
    bridge_name,
    check_names,
    enclose,
    find_lab,
    known_labs,
    lab_directory,
    lab_lock,
    locked,
    read_lab,
    remove_tree,
    write_lab,
)

# The network of a lab that has not been written down yet.
UNDECIDED = -1
# How many hosts get new names in /etc/hosts at once.
NAMED_AT_ONCE = 8

Layers = Mapping[tuple[Suite | None, Kind], tuple[str, ...]]


class HostStatus(msgspec.Struct, frozen=True):
    """The status of a host of a lab; `pid` is the PID of its PID 1 on this machine, 0 when the host is off."""

    name: str
    kind: str
    pid: int
    address4: str
    address6: str


def up(lab: str, hosts: Sequence[HostSpec], suite: Suite | None, emit: Emit, opt_size: int = OPT_SIZE) -> Lab:
    """Make the lab, or what is missing in it: afterwards `hosts` run in addition to the hosts that it had.

    Parameters:
        suite: the Debian suite of a new lab; None means the suite of the lab, or the oldest for a new one.
        opt_size: the size of each new host's /opt, in MiB.

    Raises:
        Misuse: a name is not allowed, or the lab has another suite.
        Refused: this machine cannot have a lab.
        Failed: a host did not boot; the same call again continues where this one stopped.
    """
    check_names(lab, hosts)
    require_root("a lab")
    require_programs(emit)
    require_identity(emit)
    with locked(lab_lock(lab)):
        before = find_lab(lab)
        if before is None:
            _clear(lab)
        elif suite not in (None, before.suite):
            raise Misuse(
                f"lab {lab} runs {before.suite}, not {suite}",
                f"`fab lab.down --name {lab}` first, or give another --name",
            )
        now = _settle(before or Lab(lab, suite or SUITES[0], UNDECIDED, opt_size), hosts, emit)
        _raise_hosts(now, emit)
    return now


def down(lab: str, emit: Emit, purge: bool = False) -> None:
    """Remove the lab with all that belongs to it, whether it runs or not, is complete or half-made.

    Parameters:
        purge: also remove the cached root file systems that no other lab uses.

    Raises:
        Refused: not root.
        Failed: a part of the lab could not be removed.
    """
    check_names(lab)
    require_root("removing a lab")
    existed = lab_directory(lab).exists()
    with locked(lab_lock(lab)):
        _clear(lab)
        lab_lock(lab).unlink()
    give_back()
    emit(Settled(host="", text=f"lab {lab} is removed" if existed else f"there was no lab {lab}"))
    if purge:
        used = frozenset(layer for lab in _labs() for member in lab.members for layer in member.layers)
        for name in rootfs.purge(used):
            emit(Note(host="", text=f"removed the root file system {name}"))
    elif existed:
        emit(Note(host="", text=f"the root file systems stay in {rootfs.CACHE}; --purge removes them"))


def status(lab: str) -> tuple[HostStatus, ...]:
    """Return the status of each host of the lab. Raises `Refused` where there is no such lab."""
    found = read_lab(lab)
    return tuple(
        HostStatus(member.name, member.kind, cgroup.leader(lab, member.name) or 0, *addresses(found, member))
        for member in found.members
    )


def boot(lab: str, host: str, emit: Emit) -> None:
    """Boot a host that is off, and wait until users can log in; does nothing where the host runs."""
    _with_member(lab, host, lambda found, member: _raise_hosts(found, emit, (member,)))


def crash(lab: str, host: str, emit: Emit) -> None:
    """End a host as a kernel panic does: its writes stay in this machine's page cache and are not lost."""
    _with_member(lab, host, machine.crash)
    emit(Settled(host=host, text="crashed; it is off"))


def power_loss(lab: str, host: str, emit: Emit) -> None:
    """End a host as a power cut does: writes to /opt that were not synced are lost."""
    _with_member(lab, host, machine.power_loss)
    emit(Settled(host=host, text="lost its power, and what it had not synced to /opt; it is off"))


def _with_member(lab: str, host: str, act: Callable[[Lab, Member], None]) -> None:
    read_lab(lab).member(host)
    require_root("this")
    with locked(lab_lock(lab)):
        found = read_lab(lab)
        act(found, found.member(host))


def merge(before: Sequence[Member], hosts: Sequence[HostSpec], layers: Layers) -> tuple[Member, ...]:
    """Return the hosts of a lab that had `before` and gets `hosts` too; existing hosts stay as they are.

    Raises:
        Misuse: there would be too many hosts, or one would change its kind or its Debian.
    """
    members = {member.name: member for member in before}
    for spec in hosts:
        had = members.get(spec.name)
        if had is None:
            number = max((member.number for member in members.values()), default=FIRST - 1) + 1
            layer = layers[spec.suite, spec.kind]
            members[spec.name] = Member(spec.name, spec.kind, spec.suite, number, uuid.uuid4().hex, layer)
        elif had.kind != spec.kind:
            raise Misuse(f"{spec.name} is a {had.kind} host, not a {spec.kind} host", "take it down first")
        elif had.suite != spec.suite:
            raise Misuse(f"{spec.name} does not run {spec.suite or 'the Debian of its lab'}", "take it down first")
    if len(members) > MOST:
        raise Misuse(f"a lab has at most {MOST} hosts, not {len(members)}", "make another lab with --name")
    return tuple(members.values())


def _settle(lab: Lab, hosts: Sequence[HostSpec], emit: Emit) -> Lab:
    """Decide the lab's network and hosts, and write them down before anything is made."""
    stale = [member for member in lab.members if not all(Path(layer).is_dir() for layer in member.layers)]
    for member in stale:
        # The cached layers were removed by hand: the host's own layer does not fit any other.
        machine.crash(lab, member)
        remove_tree(lab.home(member))
    kept = [member for member in lab.members if member not in stale]
    wanted = (*(HostSpec(member.name, member.kind, member.suite) for member in stale), *hosts)
    had = {member.name for member in kept}
    new = dict.fromkeys((spec.suite, spec.kind) for spec in wanted if spec.name not in had)
    layers = {(suite, kind): rootfs.layers(suite or lab.suite, kind, emit) for suite, kind in new}
    members = merge(kept, wanted, layers)
    with locked(network_lock()):
        network = choose_network() if lab.network == UNDECIDED else lab.network
        settled = msgspec.structs.replace(lab, network=network, members=members)
        write_lab(settled)
    return settled


def _raise_hosts(lab: Lab, emit: Emit, only: Sequence[Member] | None = None) -> None:
    """Make all hosts, and boot those of `only` (default: all) that do not run."""
    enclose(lab.homes)
    enclose(rootfs.CACHE)
    raise_bridge(lab)
    suffice(lambda: sum(len(other.members) for other in _labs()), emit)
    make_key(key_file(lab.name), f"lab-{lab.name}")
    for member in lab.members:
        machine.make_files(lab, member)
        plug_in(lab, member)
    write_client(lab, {member.name: machine.host_key(lab, member) for member in lab.members})
    wanted = lab.members if only is None else only
    begun = [member for member in wanted if not machine.is_running(lab.name, member.name)]
    for member in begun:
        emit(Step(host=member.name, name="booting"))
        machine.boot(lab, member)
    for member in wanted:
        machine.wait_ready(lab, member)
        word = "is up" if member in begun else "was up already"
        emit(Settled(host=member.name, text=f"{word} at {' and '.join(addresses(lab, member))}"))
    running = [member for member in lab.members if machine.is_running(lab.name, member.name)]
    with ThreadPoolExecutor(NAMED_AT_ONCE) as pool:
        for member, named in zip(running, pool.map(partial(machine.update_host_names, lab), running), strict=True):
            if not named:
                emit(Warn(host=member.name, text="does not take the names of the lab's hosts for its /etc/hosts"))


def _clear(name: str) -> None:
    """Remove all that exists of the lab, whether or not its state names it."""
    directory = lab_directory(name)
    for host in cgroup.hosts_of(name):
        cgroup.kill(name, host)
    for image in directory.glob("hosts/*/opt.img"):
        wait_released(image)
    below = f"{directory}/"
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed(mounts):
        # The lab's own mounts are in other namespaces; a user may have mounted a disk image to look into it.
        if mount.startswith(below):
            run("umount", mount)
    if (lab := find_lab(name)) is not None:
        for member in lab.members:
            machine.forget(lab, member)
    drop_link(bridge_name(name))
    remove_tree(directory)


def _labs() -> tuple[Lab, ...]:
    return tuple(lab for name in known_labs() if (lab := find_lab(name)) is not None)
