"""The state of a lab, written down in /var/lib/warpbeam/labs/NAME/lab.json."""

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
# Host numbers begin at FIRST; number 1 is the bridge. 200 hosts fit into a /24.
FIRST = 10
MOST = 200

Suite = Literal["bookworm", "trixie"]
SUITES: tuple[Suite, ...] = ("bookworm", "trixie")
Kind = Literal["host", "build"]


class HostSpec(msgspec.Struct, frozen=True):
    """A host that a caller wants. A `build` host also has Elixir, Erlang, git and Python.

    `suite` is its Debian, where that is not the lab's.
    """

    name: str
    kind: Kind = "host"
    suite: Suite | None = None


class Member(HostSpec, frozen=True):
    """A host of a lab.

    `number` is the last part of its addresses; `layers` are its root file systems, topmost first.
    """

    number: int = FIRST
    machine_id: str = ""
    layers: tuple[str, ...] = ()


class Lab(msgspec.Struct, frozen=True):
    """A lab: `network` is the number of its subnets, `opt_size` the size of each /opt in MiB."""

    name: str
    suite: Suite
    network: int
    opt_size: int
    members: tuple[Member, ...] = ()

    @property
    def directory(self) -> Path:
        """The directory with all files of this lab."""
        return lab_directory(self.name)

    @property
    def bridge(self) -> str:
        """The network device that connects the hosts; its name has at most the 15 characters that Linux allows."""
        return bridge_name(self.name)

    def member(self, host: str) -> Member:
        """Return the host of that name. Raises `Misuse` where there is none."""
        for member in self.members:
            if member.name == host:
                return member
        names = ", ".join(member.name for member in self.members)
        raise Misuse(f"lab {self.name} has no host {host!r}", f"it has: {names}")

    @property
    def homes(self) -> Path:
        """The directory with the directories of the hosts; only root can enter it."""
        return self.directory / "hosts"

    def home(self, member: Member) -> Path:
        """Return the directory of one host."""
        return self.homes / member.name


def lab_directory(name: str) -> Path:
    """Return the directory with all files of the lab `name`, whether or not it exists."""
    return LABS / name


def bridge_name(name: str) -> str:
    """Return the bridge of the lab `name`, whether or not it exists."""
    return f"wb-{name}"


def default_hosts(count: int) -> tuple[HostSpec, ...]:
    """Return `build1` and `web1` to `web(count-1)`. Raises `Misuse` for a count that no lab can have."""
    if not 1 <= count <= MOST:
        raise Misuse(f"a lab has 1 to {MOST} hosts, not {count}", "they are build1, web1, web2 and so on")
    return (HostSpec("build1", "build"), *(HostSpec(f"web{number}") for number in range(1, count)))


def check_names(lab: str, hosts: Sequence[HostSpec] = ()) -> None:
    """Raise `Misuse` for a name that no network device and file can have, or for a host named twice."""
    if not LAB_NAME.fullmatch(lab):
        raise Misuse(f"{lab!r} cannot be the name of a lab", "use 1 to 12 of a-z and 0-9, a letter first")
    names = [host.name for host in hosts]
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise Misuse(f"{name!r} cannot be the name of a lab's host", "use a-z, 0-9 and -, a letter first")
        if names.count(name) > 1:
            raise Misuse(f"host {name!r} is named twice", "each host of a lab has a name of its own")


def check_suite(suite: str) -> Suite:
    """Return the suite of that name. Raises `Misuse` where there is none."""
    for known in SUITES:
        if suite == known:
            return known
    raise Misuse(f"a lab cannot run {suite!r}", f"--suite is one of: {', '.join(SUITES)}")


def known_labs() -> tuple[str, ...]:
    """Return the names of the labs that have a directory."""
    if not LABS.is_dir():
        return ()
    names = (entry.name for entry in LABS.iterdir() if entry.is_dir())
    return tuple(sorted(name for name in names if LAB_NAME.fullmatch(name)))


def find_lab(name: str) -> Lab | None:
    """Return the lab as it was written down, or None where there is none."""
    try:
        return msgspec.json.decode((lab_directory(name) / "lab.json").read_bytes(), type=Lab)
    except (FileNotFoundError, msgspec.DecodeError):
        # Another version wrote a file that does not decode: `up` and `down` both begin by removing such a lab.
        return None


def read_lab(name: str) -> Lab:
    """Return the lab as it was written down. Raises `Refused` where there is none."""
    check_names(name)
    found = find_lab(name)
    if found is None:
        others = ", ".join(known_labs())
        message = f"there is no lab {name!r}" + (f"; there is: {others}" if others else "")
        raise Refused(message, f"`fab lab.up --name {name}` makes it")
    return found


def write_lab(lab: Lab) -> None:
    """Write the lab down; a reader sees either the old state or the new one."""
    lab.directory.mkdir(parents=True, exist_ok=True)
    # The user who called sudo reads the key and the ssh_config here; the hosts' own files are below `hosts`.
    lab.directory.chmod(0o755)
    file = lab.directory / "lab.json"
    draft = file.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(lab)))
    draft.replace(file)


def enclose(directory: Path) -> None:
    """Make a directory that only root can enter, or close an existing one.

    Files that root makes on a lab's host belong to root here too, even programs with the set-user-ID bit.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(directory, 0, 0)
    directory.chmod(0o700)


def client_owner() -> tuple[int, int]:
    """Return user and group of the user who called sudo, else of this process."""
    return int(os.environ.get("SUDO_UID", os.geteuid())), int(os.environ.get("SUDO_GID", os.getegid()))


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait for the lock `file` and hold it; the kernel releases it when this process ends.

    The holder may remove the file: a process that waited then sees that its file has no name any more, and locks the
    new file.
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
    """Return the lock of one lab, to be held while the lab changes."""
    return LABS / f"{name}.lock"


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that it holds; a missing one is no error.

    A host can nest directories deeper than `shutil.rmtree` can follow. rm(1) can, and follows no links.
    """
    run("rm", "-rf", "--one-file-system", "--", str(directory))
