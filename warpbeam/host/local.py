"""This machine as a Shell, by subprocess and without ssh: for `deploy.local`, and for hooks that run here."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import selectors
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import IO

from warpbeam.environ import for_shell
from warpbeam.error import Lost, Refused
from warpbeam.shell import GRACE, OnBytes

PIECE = 1 << 16  # bytes; a pipe of Linux holds as much (pipe(7))
SIGNAL_BASE = 128
LEFT_OPEN = 10.0  # seconds for which output may stay open and silent after the command has ended


def local_shell(user: str | None = None) -> LocalShell:
    """Return a shell that runs commands here as `user` (None: as the user of this process), by sudo or runuser."""
    return LocalShell(user)


class LocalShell:
    """A `warpbeam.shell.Shell` on this machine; its name is empty."""

    def __init__(self, user: str | None = None) -> None:
        self.name = ""
        self.user = user
        self._running: set[subprocess.Popen[bytes]] = set()
        self._interrupted: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def open(self) -> None:
        """See `warpbeam.shell.Shell.open`. Raises: Refused, where this machine has no such user."""
        self._identity()

    @property
    def busy(self) -> bool:
        """See `warpbeam.shell.Shell.busy`."""
        return bool(self._running)

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """See `warpbeam.shell.Shell.execute`. The command starts in the user's home directory, as over ssh."""
        prefix, environment = self._identity()
        home = environment.get("HOME", "/")
        process = subprocess.Popen(  # noqa: S603
            [*prefix, *shlex.split(command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=home if os.access(home, os.X_OK) else "/",
            env=environment,
            # A process group of its own: Ctrl-C reaches it only through `interrupt`, and then every process of it.
            start_new_session=True,
        )
        with self._lock:
            self._running.add(process)
        try:
            exchange(process, chunks, on_stdout, on_stderr)
        except BaseException:
            self._end(process)
            raise
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):
                    stream and stream.close()
            with self._lock:
                self._running.discard(process)
                interrupted = process in self._interrupted
                self._interrupted.discard(process)
        return self._status(process, interrupted)

    def interrupt(self) -> None:
        """See `warpbeam.shell.Shell.interrupt`."""
        with self._lock:
            running = self._running - self._interrupted
            self._interrupted |= running
        for process in running:
            threading.Thread(target=self._end, args=(process,), daemon=True).start()

    def close(self) -> None:
        """Do nothing: nothing stays open between commands."""

    def _identity(self) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments before a command that make it run as our user, and its environment."""
        if self.user is None or self.user == getpass.getuser():
            return [], for_shell()
        try:
            account = pwd.getpwnam(self.user)
        except KeyError:
            raise Refused(
                f"this machine is not set up to be deployed to: it has no user {self.user!r}",
                "`fab ENV setup --local` sets it up, as root or with sudo;"
                " `fab ENV deploy` goes to the inventory's hosts instead",
            ) from None
        if os.geteuid() == 0:
            # runuser(1) with -u leaves the environment as it is: give it the variables of a login.
            kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TZ")}
            own = {"HOME": account.pw_dir, "USER": self.user, "LOGNAME": self.user, "SHELL": account.pw_shell}
            return ["runuser", "-u", self.user, "--"], {**kept, **own}
        prefix = ["sudo", "-n", "-H", "-u", self.user, "--"]
        try:
            asked = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:
            raise Refused(f"becoming {self.user} here takes sudo, which is not installed") from None
        if asked.returncode:
            raise Refused(
                f"this machine's sudo does not let you become {self.user}: {asked.stderr.strip()}",
                "run this as root, or run `sudo -v` first if sudo wants a password",
            )
        return prefix, for_shell()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and its group: SIGTERM, and SIGKILL for what is left after `GRACE`."""
        prefix, _ = self._identity()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if prefix[:1] == ["sudo"]:
                # Only that user may signal these processes. A signal to sudo reaches the command, not its children.
                kill = [*prefix, "kill", f"-{number.value}", "--", f"-{process.pid}"]
                subprocess.run(kill, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            end = monotonic() + GRACE
            while process.poll() is None or group_exists(process.pid):
                if monotonic() > end:
                    break
                sleep(0.02)
            else:
                return

    def _status(self, process: subprocess.Popen[bytes], interrupted: bool) -> int:
        status = process.poll()
        if status is None:
            raise Lost("the command was ended, but lives on", f"look at process {process.pid}")
        if status == -signal.SIGKILL and interrupted:
            raise Lost(f"interrupted, and killed since it did not end within {GRACE:g} s", "read back its state")
        return SIGNAL_BASE - status if status < 0 else status


def group_exists(leader: int) -> bool:
    """Return whether the process group of `leader` has a process."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def exchange(process: subprocess.Popen[bytes], chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> None:
    """Feed a process and pass on its output, in this thread, until both streams and the process have ended."""
    assert process.stdin and process.stdout and process.stderr  # noqa: S101
    os.set_blocking(process.stdin.fileno(), False)
    feed = pieces(chunks)
    rest = memoryview(b"")
    silent_since: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stdout, selectors.EVENT_READ, on_stdout)
        selector.register(process.stderr, selectors.EVENT_READ, on_stderr)
        while process.stdout.fileno() in selector.get_map() or process.stderr.fileno() in selector.get_map():
            ready = selector.select(0.2)
            if not ready and process.poll() is not None:
                silent_since = silent_since or monotonic()
                if monotonic() - silent_since > LEFT_OPEN:
                    break  # a process that the command left behind holds its output
                continue
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    rest = write(process.stdin, rest, feed)
                    if not rest:
                        selector.unregister(process.stdin)
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                silent_since = None
                piece = os.read(key.fd, PIECE)
                if piece:
                    key.data(piece)
                else:
                    selector.unregister(key.fileobj)
    process.wait()


def pieces(chunks: Iterable[bytes]) -> Iterator[memoryview]:
    """Return the chunks that are not empty."""
    return (memoryview(chunk) for chunk in chunks if chunk)


def write(stdin: IO[bytes], rest: memoryview, feed: Iterator[memoryview]) -> memoryview:
    """Write what fits; return the rest, which is empty at the end of the input or when the reader has gone."""
    if not rest:
        following = next(feed, None)
        if following is None:
            return memoryview(b"")
        rest = following
    try:
        rest = rest[os.write(stdin.fileno(), rest[:PIECE]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return memoryview(b"")
    return rest or next(feed, memoryview(b""))
