"""An attempt to reach a host, with one time limit for name look-up, TCP, greeting and key exchange, hops included."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

KEPT_COMPLAINTS = 64 * 1024  # bytes
SLICE = 0.1  # seconds between two checks for an interrupt, while the kernel connects


class Cut(Exception):
    """The attempt was ended: its time was over, or it was interrupted."""


class Attempt:
    """An attempt to reach a host. When it is cut, it closes everything that it guards; `settle` ends the guard."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.end = monotonic() + seconds
        self.cause = ""
        self._open: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self.cut, ("time",))
        self._timer.daemon = True
        self._timer.start()

    def cut(self, cause: str) -> None:
        """Close everything that is guarded, from any thread, for a `cause` ("time" or "interrupt")."""
        with self._lock:
            self.cause = self.cause or cause
            closing, self._open = self._open, []
        for close in closing:
            with contextlib.suppress(Exception):
                close()

    def cancel_timer(self) -> None:
        """End the time limit: the host has answered, and a person may have to touch a key. An interrupt still cuts."""
        self._timer.cancel()

    def settle(self) -> None:
        """End the guard, because the attempt has succeeded or failed: nothing will be cut any more."""
        self.cancel_timer()
        with self._lock:
            self._open = []

    def guard(self, close: Callable[[], object]) -> None:
        """Call `close` when the attempt is cut. Raises: Cut, when it is cut already; `close` is called first."""
        with self._lock:
            if not self.cause:
                self._open.append(close)
                return
        close()
        raise Cut(self.cause)

    def left(self) -> float:
        """Return the seconds that are left. Raises: Cut, when none are."""
        left = self.end - monotonic()
        if self.cause or left <= 0:
            raise Cut(self.cause or "time")
        return left

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`. Raises: Cut, when the attempt ends meanwhile."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            sleep(min(left, SLICE, self.left()))


def dial(hostname: str, port: int, family: int, attempt: Attempt) -> socket.socket:
    """Open a TCP connection; try each address of a name for its share of the time that is left.

    Raises:
        Cut: time is over.
        OSError: the error of the last address, or `socket.gaierror` where there is no address.
    """
    addresses = look_up(hostname, port, family, attempt)
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for index, (kind, address) in enumerate(addresses):
        until = monotonic() + attempt.left() / (len(addresses) - index)
        opened = socket.socket(kind, socket.SOCK_STREAM)
        try:
            wait_connected(opened, address, until, attempt)
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
        else:
            attempt.guard(functools.partial(opened.shutdown, socket.SHUT_RDWR))
            return opened
    attempt.left()
    raise failure


def look_up(hostname: str, port: int, family: int, attempt: Attempt) -> list[tuple[int, Any]]:
    """Return the addresses of a name, each (family, address), in the resolver's order.

    The resolver runs in a thread, because it may take longer to fail than the attempt lasts.
    """
    found: list[tuple[int, Any]] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(hostname, port, socket.AddressFamily(family), socket.SOCK_STREAM)
            found.extend(dict.fromkeys((int(kind), address) for kind, _, _, _, address in answers))
        except OSError as error:
            failed.append(error)
        except UnicodeError as error:
            failed.append(socket.gaierror(socket.EAI_NONAME, str(error)))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(attempt.left())
    attempt.left()
    if failed:
        raise failed[0]
    return found


def wait_connected(opened: socket.socket, address: Any, until: float, attempt: Attempt) -> None:
    """Connect a socket. Raises: OSError (TimeoutError at `until`), or Cut."""
    opened.setblocking(False)
    code = opened.connect_ex(address)
    poll = select.poll()
    poll.register(opened, select.POLLOUT)
    while code in (errno.EINPROGRESS, errno.EAGAIN) and not poll.poll(SLICE * 1000):
        attempt.left()
        if monotonic() >= until:
            raise TimeoutError("no answer")
    if code in (errno.EINPROGRESS, errno.EAGAIN):
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    opened.setblocking(True)


class ProxyCommand:
    """A running ProxyCommand: its input and output are one socket, which the transport uses like any other.

    The shell runs it by `exec`, as ssh_config(5) describes. Paramiko's own class reads its output byte by byte.
    """

    def __init__(self, command: str, attempt: Attempt) -> None:
        self.socket, theirs = socket.socketpair()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (a full pipe would block the command)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._complaints,
                start_new_session=True,
            )
        attempt.guard(functools.partial(self.socket.shutdown, socket.SHUT_RDWR))

    def last_words(self) -> str:
        """Return the last line that the command wrote to standard error, or an empty string."""
        end = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(end - KEPT_COMPLAINTS, 0))
        lines = self._complaints.read(KEPT_COMPLAINTS).decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        self.socket.close()
        self._process.terminate()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()
