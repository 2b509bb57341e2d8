"""The hosts of an environment, as operations work with them: a phase on one of them, or work on many at once."""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from warpbeam.error import Misuse, Problem
from warpbeam.event import Emit
from warpbeam.fleet.activity import Activity
from warpbeam.fleet.jobs import allow_files, parse_jobs, usual_jobs
from warpbeam.fleet.shells import Identity, Shells
from warpbeam.fleet.work import everywhere, interruption
from warpbeam.host.phase import Phase, script_name
from warpbeam.host.run import run
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.shell import Shell

T = TypeVar("T")
A = TypeVar("A")

# The name of this machine in a local fleet.
HERE = "localhost"


class Fleet:
    """The hosts of one inventory. `close` ends every connection.

    Parameters:
        inventory: the environment.
        sudo_password: for an admin whose sudo asks for one, or empty.
    """

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        allow_files()
        self.inventory = inventory
        self.shells = Shells(self._connect)
        self.activity = Activity()
        # The most hosts that are worked on at once.
        self.jobs = usual_jobs()
        self.interrupted = False
        self._sudo_password = sudo_password

    def set_jobs(self, jobs: str) -> None:
        """Work on at most `jobs` hosts at once; empty: the default. Raises: Misuse, where `jobs` is no valid number."""
        self.jobs = parse_jobs(jobs)

    @property
    def waits_for(self) -> dict[str, str]:
        """The hosts that are busy now, each with the name of its work (empty where that has none); takes no lock."""
        doing = self.activity.busy
        return doing | {name: "" for name in self.shells.busy if name not in doing}

    def shell(self, host: Host, identity: Identity = "deploy") -> Shell:
        """Return the connection to `host` as `identity`; it is made once and opened at its first use."""
        return self.shells.of(host, identity)

    def root_shell(self, host: Host) -> Shell:
        """Return a shell that runs commands on `host` as root, by the admin's connection."""
        from warpbeam.host.sudo import RootShell

        return RootShell(self.shell(host, "admin"), self._sudo_password)

    def shell_beside(self, host: Host, user: str | None) -> Shell:
        """Return the connection to a host that need not be one of the environment, as `user` (None: as ssh says)."""
        from warpbeam.ssh.connection import connect

        inventory = self.inventory
        name = f"{user or ''}@{host.name}:{host.port or ''}"
        return self.shells.beside(name, lambda: connect(host, user, inventory.ssh, inventory.name))

    @property
    def here(self) -> Shell:
        """This machine, as the user of this process; `interrupt` ends its commands too."""
        return self.shells.here

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
        """Run `phase` on `host`, an admin's phase as root. Raises what `host.run.run` raises."""
        # An interrupt ends running commands only; one that comes between two phases must not let the next begin.
        check = interruption()
        check()
        shell = self.root_shell(host) if identity == "admin" else self.shell(host, identity)
        with self.activity.phase(host, script_name(phase)):
            return run(shell, phase, emit, body, check, self._seconds(phase))

    def _seconds(self, phase: Phase[Any]) -> float | None:
        """Return the time limit of a phase that only looks or declares its duration; None: no limit."""
        more = phase.more_seconds
        return self.inventory.ssh.answer_timeout + (more or 0) if phase.looks or more is not None else None

    def run_anew(
        self, host: Host, phase: Phase[A], emit: Emit, body: Iterable[bytes] = (), identity: Identity = "deploy"
    ) -> A:
        """Run like `run`, but over a new connection, to prove that the host's present filter lets new ones in."""
        with self.shells.anew(host, identity) as beside:
            return self.run(beside, phase, emit, body, identity)

    @contextmanager
    def with_agent(self, host: Host) -> Iterator[Shell]:
        """Yield a shell of `host` over a connection of its own, whose commands may use this machine's ssh agent."""
        from warpbeam.ssh.connection import connect

        inventory = self.inventory
        shell = connect(host, inventory.users.deploy, inventory.ssh, inventory.name, forward_agent=True)
        with self.shells.also(shell):
            yield shell

    def everywhere(self, hosts: Sequence[Host], work: Callable[[Host], T]) -> dict[str, T | Problem]:
        """Do `work` for all `hosts` at once; return its value or the Problem it raised, by host name, in order.

        An interrupt first ends the running command of every host, then propagates.
        """
        return everywhere(hosts, work, jobs=self.jobs, interrupt=self.interrupt)

    def narrowed(self, hosts: Sequence[Host]) -> Fleet:
        """Return this fleet with `hosts` as the chosen ones; it has the same connections, which this one closes."""
        fleet = copy.copy(self)
        fleet.inventory = msgspec.structs.replace(self.inventory, hosts={host.name: host for host in hosts})
        return fleet

    def rsync(self, host: Host, directory: Path, target: str, leave_out: Sequence[str], emit: Emit) -> None:
        """Make `target` on `host` like `directory` of this machine, by rsync. Raises what `rsync.rsync` raises."""
        from warpbeam.ssh.connection import Connection
        from warpbeam.ssh.rsync import rsync

        shell = self.shell(host)
        assert isinstance(shell, Connection)  # noqa: S101 (only a local fleet has others)
        with self.activity.doing(host, "rsync"):
            rsync(shell, directory, target, leave_out, emit)

    def interrupt(self) -> None:
        """End the running commands of every host, within `GRACE` seconds; from then on `interrupted` is true."""
        self.interrupted = True
        self.shells.interrupt()

    def close(self) -> None:
        """End every connection; leave one that is stuck behind after `GRACE` seconds."""
        self.shells.close()


def host_here(inventory: Inventory) -> Host | None:
    """Return the host that this machine is, where hosts have settings of their own; None where none has.

    It is the one that -H names, or the one that has this machine's name. Raises: Misuse, where that is none.
    """
    chosen = inventory.app_hosts
    if not inventory.own or not chosen:
        return None
    if len(chosen) == 1:
        return chosen[0]
    name = socket.gethostname()
    for host in chosen:
        if host.name in (name, name.partition(".")[0]):
            return host
    raise Misuse(
        f"which of {', '.join(host.name for host in chosen)} is this machine ({name})? They have settings of their own",
        "name it: `fab ENV -H NAME` before the task",
    )


class LocalFleet(Fleet):
    """This machine as the environment's only host, in every role; nothing goes over ssh."""

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        stands_for = host_here(inventory)
        here = Host(name=HERE, roles=("app", "build", "migrate"), group=stands_for.group if stands_for else None)
        own = {HERE: inventory.of(stands_for)} if stands_for else {}
        alone = msgspec.structs.replace(inventory, hosts={HERE: here}, all_hosts={HERE: here}, own=own)
        super().__init__(alone, sudo_password)

    @contextmanager
    def with_agent(self, host: Host) -> Iterator[Shell]:
        """Yield the shell of this machine: its commands have the agent's socket in their variables already."""
        yield self.shell(host)

    def _connect(self, host: Host, identity: Identity) -> Shell:
        from warpbeam.host.local import local_shell

        shell = local_shell(self.inventory.users.deploy if identity == "deploy" else None)
        shell.name = host.name
        return shell
