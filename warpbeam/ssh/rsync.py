"""Copying a directory to a host by Patchwork's rsync, over ssh with a connection's own settings.

Patchwork 1.0.1 was written for Fabric 2 and puts its arguments unquoted into shell lines. So it receives only quoted
words, and files that hold the rest (ssh's options, rsync's exclusions).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fabric
import invoke
import paramiko

from warpbeam.bound import MEGABYTE, sized
from warpbeam.environ import for_shell
from warpbeam.error import Failed, Lost, Misuse, Refused
from warpbeam.event import Emit, Note
from warpbeam.ssh.connection import Connection

LAST_LINES = 10
# Bytes that rsync, and so the host, may print: rsync prints the name of each file that it copies.
MOST_SAID = 64 * MEGABYTE
# rsync(1), EXIT VALUES: the connection broke, a time-out, ssh's own failure.
BROKEN = frozenset({10, 12, 30, 35, 255})


def rules(exclude: Sequence[str]) -> bytes:
    """Return a file of patterns for `--exclude-from`.

    The prefix "- " keeps rsync from taking a pattern for a comment or a rule (rsync(1), FILTER RULES).

    Raises: Refused, where a pattern has a line end, which no line of the file can hold.
    """
    if bad := next((pattern for pattern in exclude if re.search(r"[\x00\n\r]", pattern)), None):
        raise Refused(
            f"rsync cannot leave out {bad!r}", "rename the file, whose name has a line end in it, or commit it"
        )
    return b"".join(b"- " + os.fsencode(pattern) + b"\n" for pattern in exclude)


def rsync(
    connection: Connection, source: Path, target: str, exclude: Sequence[str] = (), emit: Emit | None = None
) -> None:
    """Make the directory `target` of a host like `source`: files that `source` does not have are deleted there.

    Files that `exclude` matches (rsync's patterns: `/_build`, `*.beam`) are neither copied nor deleted. Permissions,
    times and symbolic links are kept; names may hold anything but line ends.

    Raises:
        Misuse: a path that cannot be passed to rsync.
        Refused: a pattern has a line end, or OpenSSH rejects its configuration for the host.
        Lost: the connection broke, or the host cannot be reached; `target` may be incomplete.
        Failed: rsync failed, or is not installed; `target` may be incomplete. Its last lines are in `details`.
    """
    if not source.is_dir():
        raise Misuse(f"{source} is not a directory that could be carried to {connection.name}")
    if not target.startswith("/") or re.search(r"[\x00-\x1f]", target):
        raise Misuse(f"{target!r} is not an absolute path on {connection.name}")
    patterns = rules(exclude)
    settings = connection.settings
    with scratch() as directory:
        config = directory / "config"
        config.write_text(config_text(settings.options), "utf-8")
        excluded = directory / "exclude"
        excluded.write_bytes(patterns)
        interrupted = False
        runner: list[Rsync] = []

        def started(rsync: Rsync) -> None:
            runner.append(rsync)

        def end() -> None:
            nonlocal interrupted
            interrupted = True
            for rsync in runner:
                rsync.end()

        class EmittingRunner(Rsync):
            begun = staticmethod(started)

        config_values = fabric.Config(
            lazy=True,
            ssh_config=paramiko.SSHConfig(),
            overrides={
                "runners": {"local": EmittingRunner},
                "run": {"hide": True, "warn": True, "echo": False, "in_stream": False, "pty": False},
            },
        )
        route = fabric.Connection(
            host=settings.destination,
            user=settings.user,
            port=settings.port,
            config=config_values,
            gateway=False,
        )
        with connection.ending(end):
            result = patchwork_rsync()(
                route,
                shlex.quote(f"{source.absolute()}/"),
                shlex.quote(f"{target.rstrip('/')}/"),
                delete=True,
                # -s: no file name reaches the host's shell. -l: Patchwork itself does not copy symbolic links.
                rsync_opts=f"-l -s --exclude-from={excluded}",
                ssh_opts=f"-T -F {config}",
            )
    if interrupted or any(rsync.interrupted for rsync in runner):
        raise KeyboardInterrupt
    if any(rsync.breached for rsync in runner):
        raise Failed(
            f"rsync of {source} to {target} said more than {sized(MOST_SAID)}; it was ended",
            "look at what that host prints at a login",
            host=settings.name,
            place=settings.label,
        )
    said = tuple(line for line in (result.stdout + result.stderr).splitlines() if line.strip())
    if result.exited == 0:
        if emit:
            emit(Note(connection.name, carried(result.stdout)))
        return
    refused = Lost if result.exited in BROKEN else Failed
    raise refused(
        f"{settings.label}: rsync of {source} to {target} ended with status {result.exited}",
        "is rsync installed there, and the directory writable?",
        said[-LAST_LINES:],
    )


def this_path(name: str) -> str:
    """Return the pattern that matches only `name`, a path relative to the source (a slash at its end: a directory).

    A backslash escapes only in a pattern that has a wildcard (rsync(1), PATTERN MATCHING RULES).
    """
    if re.search(r"[*?[]", name):
        name = re.sub(r"([*?[\\])", r"\\\1", name)
    return f"/{name}"


def carried(said: str) -> str:
    """Return the output of `rsync -v` as one sentence: a project's first run prints every file."""
    head, _, tail = said.partition("\nsent ")
    names = [line for line in head.splitlines() if line and not line.endswith("/")]
    files = [line for line in names if not line.startswith(("sending incremental", "created directory ", "deleting "))]
    deleted = sum(line.startswith("deleting ") for line in names)
    # Patchwork asks rsync for human-readable sizes (-h): `2.85K`.
    sent = re.match(r"[\d,.]+[KMGTP]?", tail)
    return (
        f"carried {len(files)} file{'s' if len(files) != 1 else ''}"
        + (f", removed {deleted}" if deleted else "")
        + (f", {sent[0]} bytes sent" if sent else "")
    )


class Rsync(invoke.runners.Local):
    """Invoke's local runner, but Ctrl-C ends the process instead of writing ^C into its input, which nobody reads."""

    begun: Callable[[Rsync], None]

    def start(self, command: str, shell: str, env: dict[str, str]) -> None:
        self.interrupted = False
        self.breached = False
        self._left = MOST_SAID
        super().start(command, shell, for_shell(env))
        self.begun(self)

    def read_proc_stdout(self, num_bytes: int) -> bytes | None:
        return self._bounded(super().read_proc_stdout(num_bytes))

    def read_proc_stderr(self, num_bytes: int) -> bytes | None:
        return self._bounded(super().read_proc_stderr(num_bytes))

    def _bounded(self, piece: bytes | None) -> bytes | None:
        """Return a piece of output, or end rsync where the output is too much: Invoke keeps all of it in memory."""
        self._left -= len(piece or b"")
        if self._left >= 0:
            return piece
        self.breached = True
        self.end()
        return None

    def send_interrupt(self, interrupt: BaseException) -> None:
        self.interrupted = True
        self.end()

    def end(self) -> None:
        """End rsync; its ssh ends with it."""
        self.process.terminate()


def patchwork_rsync() -> Callable[..., invoke.Result]:
    """Return Patchwork's function; it imports a module that Invoke 2 no longer has, for its `string_types` only."""
    if "invoke.vendor.six" not in sys.modules:
        six = types.ModuleType("invoke.vendor.six")
        six.string_types = (str,)  # type: ignore[attr-defined]
        sys.modules["invoke.vendor.six"] = six
        import invoke.vendor

        invoke.vendor.six = six  # type: ignore[attr-defined]
    from patchwork.transfers import rsync

    function: Callable[..., invoke.Result] = rsync
    return function


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a private temporary directory whose path needs no quoting, whatever TMPDIR is."""
    usual = tempfile.gettempdir()
    plain = usual if re.fullmatch(r"[A-Za-z0-9/._-]+", usual) else "/tmp"  # noqa: S108  (mkdtemp makes it 0700)
    with tempfile.TemporaryDirectory(prefix="warpbeam-", dir=plain) as directory:
        yield Path(directory)


def config_text(options: Sequence[str]) -> str:
    """Return the arguments of `ssh` as a file of ssh_config(5), which then includes the files that `ssh` would read.

    Rsync's ssh gets this file by `-F`, which replaces the user's and the system's file. So it includes both, or the
    file of an `-F` among the arguments.
    """
    lines, files = ["BatchMode yes"], ["~/.ssh/config", "/etc/ssh/ssh_config"]
    words = iter(options)
    for word in words:
        value = next(words)
        if word == "-o":
            lines.append(value.replace("=", " ", 1))
        elif word == "-F":
            files = [value]
        elif word in ("-l", "-p"):
            lines.append(f"{'User' if word == '-l' else 'Port'} {value}")
        else:
            raise Refused(f"ssh's option {word} has no word in its configuration")
    return "\n".join([*lines, *(f'Include "{file}"' for file in files)]) + "\n"
