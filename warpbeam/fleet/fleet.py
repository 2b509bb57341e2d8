"""The hosts of an environment: one connection a host and identity."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any, Literal, TypeVar

import msgspec

from warpbeam.error import Misuse, Problem
from warpbeam.event import Emit
from warpbeam.fleet.work import everywhere, interruption
from warpbeam.host.phase import Phase, script_name
from warpbeam.host.run import run
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.shell import GRACE, Shell

T = TypeVar("T")
A = TypeVar("A")

# `deploy` owns /opt/ORG/APP; `admin` may become root. (The app's own user never logs in.)
Identity = Literal["deploy", "admin"]

# Hosts per core that are worked on at once by default. Connecting takes some 25 ms of processor time; after that we
# mostly wait for the host, and a connection holds a megabyte or two of memory (bench/results).
EACH_CORE = 16
MOST_JOBS = 1000
# A connection takes two or three open files. The usual limit, 1024, is enough for a few hundred hosts only.
MOST_FILES = 65_536
# The name of this machine in a local fleet.
HERE = "localhost"


class Fleet:
    """The hosts of one inventory. `close` ends every connection.

    Parameters:
        inventory: the environment.
        sudo_password: for an admin whose sudo asks for one, or empty.
    """

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        self.inventory = inventory
        allow_files(MOST_FILES)
        # The most hosts that are worked on at once.
        self.jobs = usual_jobs()
        self.interrupted = False
        self._sudo_password = sudo_password
        self._shells: dict[tuple[str, Identity], Shell] = {}
        self._guard = Lock()
        # The first entry is what `waits_for` reports; a lease renewal may run at the same time.
        self._doing: dict[str, list[str]] = {}
        # The phases that were begun, by host and script; true where the last one of that script has answered.
        self.phases: dict[tuple[str, str], bool] = {}

    def set_jobs(self, jobs: str) -> None:
        """Work on at most `jobs` hosts at once; empty: the default. Raises: Misuse, where `jobs` is no valid number."""
        if not jobs:
            self.jobs = usual_jobs()
            return
        if not (jobs.isascii() and jobs.isdigit() and len(jobs) <= 4 and 1 <= int(jobs) <= MOST_JOBS):
            raise Misuse(f"--jobs: {jobs!r} is no number from 1 to {MOST_JOBS}")
        self.jobs = int(jobs)

    @property
    def waits_for(self) -> dict[str, str]:
        """The hosts that are busy now, each with the name of its work (empty where that has none); takes no lock."""
        doing = {name: what for name, whats in self._doing.copy().items() if (what := next(iter(whats), ""))}
        busy = {name for (name, _), shell in self._shells.copy().items() if shell.busy and name not in doing}
        return doing | dict.fromkeys(sorted(busy), "")

    @contextmanager
    def doing(self, host: Host, what: str) -> Iterator[None]:
        """Record in `waits_for`, inside this context, that `host` is busy with `what`."""
        doing = self._doing.setdefault(host.name, [])
        doing.append(what)
        try:
            yield
        finally:
            doing.remove(what)

    def shell(self, host: Host, identity: Identity = "deploy") -> Shell:
        """Return the connection to `host` as `identity`; it is made once and opened at its first use."""
        with self._guard:
            key = (host.name, identity)
            if key not in self._shells:
                self._shells[key] = self._connect(host, identity)
            return self._shells[key]

    @property
    def here(self) -> Shell:
        """This machine, as the user of this process; `interrupt` ends its commands too."""
        with self._guard:
            if ("", "deploy") not in self._shells:
                from warpbeam.host.local import local_shell

                self._shells["", "deploy"] = local_shell()
            return self._shells["", "deploy"]

    def _connect(self, host: Host, identity: Identity) -> Shell:
        from warpbeam.ssh.connection import connect

        users = self.inventory.users
        user = users.deploy if identity == "deploy" else users.admin
        return connect(host, user, self.inventory.ssh, self.inventory.name)

    def run(
        self,
        host: Host,
        phase: Phase[A],
        emit: Emit,
        body: Iterable[bytes] = (),
        identity: Identity = "deploy",
    ) -> A:
        """Run `phase` on `host`, an admin's phase as root. Raises what `phase.run` raises."""
        # An interrupt ends running commands only; one that comes between two phases must not let the next begin.
        check = interruption()
        check()
        shell = self.shell(host, identity)
        if identity == "admin":
            from warpbeam.host.sudo import RootShell

            shell = RootShell(shell, self._sudo_password)
        self.phases[host.name, script_name(phase)] = False
        with self.doing(host, script_name(phase)):
            answer = run(shell, phase, emit, body, check, self._seconds(phase))
        self.phases[host.name, script_name(phase)] = True
        return answer

    def _seconds(self, phase: Phase[Any]) -> float | None:
        """Return the time limit of a phase that only looks or declares its duration; None: no limit."""
        more = phase.more_seconds
        return self.inventory.ssh.answer_timeout + (more or 0) if phase.looks or more is not None else None

    def run_anew(
        self, host: Host, phase: Phase[A], emit: Emit, body: Iterable[bytes] = (), identity: Identity = "deploy"
    ) -> A:
        """Run like `run`, but over a new connection, to prove that the host's present filter lets new ones in."""
        # Registered under a name that no host has, so that an interrupt reaches this connection too.
        beside = msgspec.structs.replace(host, name=f"{host.name} anew")
        with self._guard:
            self._shells[beside.name, identity] = self._connect(host, identity)
        try:
            return self.run(beside, phase, emit, body, identity)
        finally:
            with self._guard:
                shell = self._shells.pop((beside.name, identity))
            shell.close()

    def everywhere(self, hosts: Sequence[Host], work: Callable[[Host], T]) -> dict[str, T | Problem]:
        """Do `work` for all `hosts` at once; return its value or the Problem it raised, by host name, in order.

        An interrupt first ends the running command of every host, then propagates.
        """
        return everywhere(hosts, work, jobs=self.jobs, interrupt=self.interrupt)

    def rsync(self, host: Host, directory: Path, target: str, leave_out: Sequence[str], emit: Emit) -> None:
        """Make `target` on `host` like `directory` of this machine, by rsync. Raises what `rsync.rsync` raises."""
        from warpbeam.ssh.connection import Connection
        from warpbeam.ssh.rsync import rsync

        shell = self.shell(host)
        assert isinstance(shell, Connection)  # noqa: S101 (only a local fleet has others)
        with self.doing(host, "rsync"):
            rsync(shell, directory, target, leave_out, emit)

    def interrupt(self) -> None:
        """End the running commands of every host, within `GRACE` seconds; from then on `interrupted` is true."""
        self.interrupted = True
        _each(list(self._shells.values()), lambda shell: shell.interrupt())

    def close(self) -> None:
        """End every connection; leave one that is stuck behind after `GRACE` seconds."""
        shells = list(self._shells.values())
        self._shells.clear()
        _each(shells, lambda shell: shell.close())


def usual_jobs() -> int:
    """Return how many hosts this machine works on at once by default."""
    return EACH_CORE * (os.cpu_count() or 1)


def allow_files(most: int) -> None:
    """Raise this process's limit of open files to `most`, or to its hard limit where that is lower (setrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class LocalFleet(Fleet):
    """This machine as the environment's only host, in every role; nothing goes over ssh."""

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        here = Host(name=HERE, roles=("app", "build", "migrate"))
        alone = msgspec.structs.replace(inventory, hosts={HERE: here}, all_hosts={HERE: here})
        super().__init__(alone, sudo_password)

    def _connect(self, host: Host, identity: Identity) -> Shell:
        from warpbeam.host.local import local_shell

        shell = local_shell(self.inventory.users.deploy if identity == "deploy" else None)
        shell.name = host.name
        return shell


def _each(shells: Sequence[Shell], work: Callable[[Shell], None]) -> None:
    """Do `work` on every shell at once, and wait at most `GRACE` seconds: a connection may be stuck forever."""

    def one(shell: Shell) -> None:
        with suppress(Exception):
            work(shell)

    threads = [Thread(target=one, args=(shell,), daemon=True) for shell in shells]
    for thread in threads:
        thread.start()
    end = monotonic() + GRACE
    for thread in threads:
        thread.join(max(end - monotonic(), 0))
