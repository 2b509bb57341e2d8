"""The shells of a fleet: one connection for each host and identity, and how all of them end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from time import monotonic
from typing import Literal

import msgspec

from warpbeam.inventory.schema import Host
from warpbeam.shell import GRACE, Shell

# `deploy` owns /opt/ORG/APP; `admin` may become root. (The app's own user never logs in.)
Identity = Literal["deploy", "admin"]


class Shells:
    """The shells that were asked for, each made once. `interrupt` and `close` reach all of them.

    Parameters:
        connect: makes the shell of a host as an identity; it opens at its first use.
    """

    def __init__(self, connect: Callable[[Host, Identity], Shell]) -> None:
        self._connect = connect
        self._shells: dict[tuple[str, Identity], Shell] = {}
        self._guard = Lock()

    def of(self, host: Host, identity: Identity = "deploy") -> Shell:
        """Return the shell of `host` as `identity`."""
        with self._guard:
            key = (host.name, identity)
            if key not in self._shells:
                self._shells[key] = self._connect(host, identity)
            return self._shells[key]

    def beside(self, name: str, connect: Callable[[], Shell]) -> Shell:
        """Return the shell of that name, which no host of the environment has; `connect` makes it."""
        with self._guard:
            if (name, "deploy") not in self._shells:
                self._shells[name, "deploy"] = connect()
            return self._shells[name, "deploy"]

    @property
    def here(self) -> Shell:
        """This machine, as the user of this process."""
        with self._guard:
            if ("", "deploy") not in self._shells:
                from warpbeam.host.local import local_shell

                self._shells["", "deploy"] = local_shell()
            return self._shells["", "deploy"]

    @contextmanager
    def anew(self, host: Host, identity: Identity) -> Iterator[Host]:
        """Yield `host` under a name of its own that no host has, so that it gets a new connection, closed at the end.

        An interrupt reaches that connection too.
        """
        beside = msgspec.structs.replace(host, name=f"{host.name} anew")
        with self._guard:
            self._shells[beside.name, identity] = self._connect(host, identity)
        try:
            yield beside
        finally:
            with self._guard:
                shell = self._shells.pop((beside.name, identity))
            shell.close()

    @contextmanager
    def also(self, shell: Shell) -> Iterator[None]:
        """Have an interrupt reach one more `shell` of a host, which is closed at the end."""
        key: tuple[str, Identity] = (f"{shell.name} also", "deploy")
        with self._guard:
            self._shells[key] = shell
        try:
            yield
        finally:
            with self._guard:
                self._shells.pop(key, None)
            shell.close()

    @property
    def busy(self) -> list[str]:
        """The names of the hosts in whose shells something runs, sorted; takes no lock."""
        return sorted({name for (name, _), shell in self._shells.copy().items() if shell.busy})

    def interrupt(self) -> None:
        """End the running commands of every shell, within `GRACE` seconds."""
        _each(list(self._shells.values()), lambda shell: shell.interrupt())

    def close(self) -> None:
        """End every shell; leave one that is stuck behind after `GRACE` seconds."""
        shells = list(self._shells.values())
        self._shells.clear()
        _each(shells, lambda shell: shell.close())


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
