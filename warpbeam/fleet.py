"""The hosts of an environment: one connection a host and identity, and work on all of them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

import msgspec

from warpbeam.error import Problem
from warpbeam.event import Tell
from warpbeam.inventory import Host, Inventory
from warpbeam.phase import Phase, run
from warpbeam.shell import Shell

T = TypeVar("T")
A = TypeVar("A")

# `deploy` owns /opt/ORG/APP; `admin` may become root. (The app's own user never logs in.)
Identity = Literal["deploy", "admin"]

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
        self.jobs = min(32, 8 * (os.cpu_count() or 1))
        self.interrupted = False
        self._sudo_password = sudo_password
        self._shells: dict[tuple[str, Identity], Shell] = {}
        self._guard = Lock()

    def shell(self, host: Host, identity: Identity = "deploy") -> Shell:
        """The connection to `host` as `identity`, made once and opened at its first use."""
        with self._guard:
            key = (host.name, identity)
            if key not in self._shells:
                self._shells[key] = self._connect(host, identity)
            return self._shells[key]

    @property
    def here(self) -> Shell:
        """This machine, as whoever runs us; `interrupt` ends what it runs too."""
        with self._guard:
            if ("", "deploy") not in self._shells:
                from warpbeam.local import local_shell

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
        tell: Tell,
        body: Iterable[bytes] = (),
        identity: Identity = "deploy",
    ) -> A:
        """`phase.run` on `host`; an admin's phase runs as root. Raises what `phase.run` raises."""
        shell = self.shell(host, identity)
        if identity == "admin":
            from warpbeam.sudo import RootShell

            shell = RootShell(shell, self._sudo_password)
        return run(shell, phase, tell, body)

    def run_anew(
        self, host: Host, phase: Phase[A], tell: Tell, body: Iterable[bytes] = (), identity: Identity = "deploy"
    ) -> A:
        """As `run`, over a connection of its own: whatever the host filters now must let it in."""
        # A name that no host has: an interrupt reaches this connection too.
        beside = msgspec.structs.replace(host, name=f"{host.name} anew")
        with self._guard:
            self._shells[beside.name, identity] = self._connect(host, identity)
        try:
            return self.run(beside, phase, tell, body, identity)
        finally:
            with self._guard:
                shell = self._shells.pop((beside.name, identity))
            shell.close()

    def everywhere(self, hosts: Sequence[Host], work: Callable[[Host], T]) -> dict[str, T | Problem]:
        """Do `work` for each of `hosts` at once; what it returned or the Problem it raised, by name, in order.

        On an interrupt every host's running command is ended before the interrupt goes on.
        """
        return everywhere(hosts, work, jobs=self.jobs, interrupt=self.interrupt)

    def carry(self, host: Host, directory: Path, target: str, leave_out: Sequence[str], tell: Tell) -> None:
        """Make `target` on `host` like `directory` of this machine, by rsync. Raises what `rsync.carry` raises."""
        from warpbeam.ssh.connection import Connection
        from warpbeam.ssh.rsync import carry

        shell = self.shell(host)
        assert isinstance(shell, Connection)  # noqa: S101 (only a local fleet has others)
        carry(shell, directory, target, leave_out, tell)

    def interrupt(self) -> None:
        """End what runs on every host; from then on `interrupted` is true."""
        self.interrupted = True
        for shell in list(self._shells.values()):
            with suppress(Exception):
                shell.interrupt()

    def close(self) -> None:
        """End every connection."""
        for shell in self._shells.values():
            with suppress(Exception):
                shell.close()
        self._shells.clear()


class LocalFleet(Fleet):
    """This machine, as if it were the environment's only host, in every role; nothing goes over ssh."""

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        here = Host(name=HERE, roles=("app", "build", "migrate"))
        alone = msgspec.structs.replace(inventory, hosts={HERE: here}, all_hosts={HERE: here})
        super().__init__(alone, sudo_password)

    def _connect(self, host: Host, identity: Identity) -> Shell:
        from warpbeam.local import local_shell

        shell = local_shell(self.inventory.users.deploy if identity == "deploy" else None)
        shell.name = host.name
        return shell


def everywhere(
    hosts: Sequence[Host],
    work: Callable[[Host], T],
    *,
    jobs: int,
    interrupt: Callable[[], None],
) -> dict[str, T | Problem]:
    """Do `work` for each host in a thread of its own, `jobs` at a time.

    A plain `with ThreadPoolExecutor` would wait for the remote ends on Ctrl-C; here `interrupt` ends them first.
    """

    def one(host: Host) -> T | Problem:
        try:
            return work(host)
        except Problem as problem:
            return problem

    if len(hosts) == 1:
        return {hosts[0].name: one(hosts[0])}
    pool = ThreadPoolExecutor(max_workers=max(1, min(jobs, len(hosts))), thread_name_prefix="host")
    futures: dict[str, Future[T | Problem]] = {}
    try:
        futures = {host.name: pool.submit(one, host) for host in hosts}
        pending: set[Future[Any]] = set(futures.values())
        while pending:
            # Bounded, because a wait without a time-out keeps the main thread from handling a signal.
            _, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        return {name: future.result() for name, future in futures.items()}
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        interrupt()
        wait(futures.values(), timeout=5)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def first_problem(results: dict[str, T | Problem]) -> Problem | None:
    """The first host's problem, or None."""
    return next((result for result in results.values() if isinstance(result, Problem)), None)
