"""What a lab is, and where it is written down: /var/lib/warpbeam/labs/NAME/lab.json."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from warpbeam.error import Misuse, Refused
from warpbeam.lab.command import run

LABS = Path("/var/lib/warpbeam/labs")
LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")
# Host numbers begin here; .1 is the bridge. 200 of them fit a /24 with room to spare.
FIRST = 10
MOST = 200

Suite = Literal["bookworm", "trixie"]
SUITES: tuple[Suite, ...] = ("bookworm", "trixie")
Kind = Literal["host", "build"]


class HostSpec(msgspec.Struct, frozen=True):
    """A host that is wanted. A `build` host has Elixir, Erlang, git and Python besides."""

    name: str
    kind: Kind = "host"


class Member(HostSpec, frozen=True):
    """A host of a lab.

    `number` is the last part of its addresses, `layers` are its root file systems, topmost first.
    """

    number: int = FIRST
    machine_id: str = ""
    layers: tuple[str, ...] = ()


class Lab(msgspec.Struct, frozen=True):
    """A lab: `network` makes its subnets, `opt_size` is the size of each /opt in MiB."""

    name: str
    suite: Suite
    network: int
    opt_size: int
    members: tuple[Member, ...] = ()

    @property
    def directory(self) -> Path:
        """Where everything of this lab is kept."""
        return lab_directory(self.name)

    @property
    def bridge(self) -> str:
        """The network device that connects the hosts; it has all of the 15 characters Linux allows, at most."""
        return bridge_name(self.name)

    def member(self, host: str) -> Member:
        """The host of that name. Raises `Misuse` when there is none."""
        for member in self.members:
            if member.name == host:
                return member
        names = ", ".join(member.name for member in self.members)
        raise Misuse(f"lab {self.name} has no host {host!r}", f"it has: {names}")

    @property
    def homes(self) -> Path:
        """Where the directories of its hosts are; nobody but root can enter it."""
        return self.directory / "hosts"

    def home(self, member: Member) -> Path:
        """The directory of one host."""
        return self.homes / member.name


def lab_directory(name: str) -> Path:
    """Where everything of the lab `name` is kept, whether or not it exists."""
    return LABS / name


def bridge_name(name: str) -> str:
    """The bridge of the lab `name`, whether or not it exists."""
    return f"wb-{name}"


def default_hosts(count: int) -> tuple[HostSpec, ...]:
    """`build1` and `web1` to `web(count-1)`. Raises `Misuse` for a count that no lab can have."""
    if not 1 <= count <= MOST:
        raise Misuse(f"a lab has 1 to {MOST} hosts, not {count}", "they are build1, web1, web2 and so on")
    return (HostSpec("build1", "build"), *(HostSpec(f"web{number}") for number in range(1, count)))


def check_names(lab: str, hosts: Sequence[HostSpec] = ()) -> None:
    """Raises `Misuse` for a name that cannot be a network device's and a file's, or a host named twice."""
    if not LAB_NAME.fullmatch(lab):
        raise Misuse(f"{lab!r} cannot be the name of a lab", "use 1 to 12 of a-z and 0-9, a letter first")
    names = [host.name for host in hosts]
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise Misuse(f"{name!r} cannot be the name of a lab's host", "use a-z, 0-9 and -, a letter first")
        if names.count(name) > 1:
            raise Misuse(f"host {name!r} is named twice", "each host of a lab has a name of its own")


def check_suite(suite: str) -> Suite:
    """The suite of that name. Raises `Misuse` when there is none."""
    for known in SUITES:
        if suite == known:
            return known
    raise Misuse(f"a lab cannot run {suite!r}", f"--suite is one of: {', '.join(SUITES)}")


def known_labs() -> tuple[str, ...]:
    """The names of the labs that have a directory."""
    if not LABS.is_dir():
        return ()
    names = (entry.name for entry in LABS.iterdir() if entry.is_dir())
    return tuple(sorted(name for name in names if LAB_NAME.fullmatch(name)))


def find_lab(name: str) -> Lab | None:
    """The lab as it was written down, or None where there is none."""
    try:
        return msgspec.json.decode((lab_directory(name) / "lab.json").read_bytes(), type=Lab)
    except (FileNotFoundError, msgspec.DecodeError):
        # What does not decode was written by another version: `up` and `down` both begin by clearing it away.
        return None


def read_lab(name: str) -> Lab:
    """The lab as it was written down. Raises `Refused` where there is none."""
    check_names(name)
    found = find_lab(name)
    if found is None:
        others = ", ".join(known_labs())
        message = f"there is no lab {name!r}" + (f"; there is: {others}" if others else "")
        raise Refused(message, f"`fab lab.up --name {name}` makes it")
    return found


def write_lab(lab: Lab) -> None:
    """Write the lab down; a reader sees the old or the new one, whole."""
    lab.directory.mkdir(parents=True, exist_ok=True)
    # Whoever called sudo has the key and the ssh_config here, and may look; the hosts' own files are below `hosts`.
    lab.directory.chmod(0o755)
    file = lab.directory / "lab.json"
    draft = file.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(lab)))
    draft.replace(file)


def enclose(directory: Path) -> None:
    """Make a directory that nobody but root can enter, or close one that is there.

    What root on a lab's host makes, programs with the set-user-ID bit among it, is root's here too.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(directory, 0, 0)
    directory.chmod(0o700)


def client_owner() -> tuple[int, int]:
    """User and group of the person at the keyboard: whoever called sudo, else this process's own."""
    return int(os.environ.get("SUDO_UID", os.geteuid())), int(os.environ.get("SUDO_GID", os.getegid()))


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock `file`, waiting for it; the kernel lets go of it however this process ends.

    Whoever holds it may remove the file: one who waited then finds that its own is no longer the one, and
    takes the new one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                yield
                return
        finally:
            os.close(descriptor)


def lab_lock(name: str) -> Path:
    """The lock of one lab: whoever changes the lab holds it."""
    return LABS / f"{name}.lock"


def remove_tree(directory: Path) -> None:
    """Remove a directory with all it holds, where it exists; what is gone already is no error.

    A host nests directories as deep as it likes: deeper than `shutil.rmtree` can follow, and not than rm(1), which
    follows no link either.
    """
    run("rm", "-rf", "--one-file-system", "--", str(directory))
