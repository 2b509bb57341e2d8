"""Running programs of this machine to their end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable

from warpbeam.error import Failed

# Users other than root, and some `sudo` configurations, have no sbin in PATH.
PATH = os.pathsep.join(dict.fromkeys((*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin")))
# How many of a failed program's last lines are shown.
SHOWN = 15


def environment() -> dict[str, str]:
    """Return the environment for programs: this process's own, with sbin in PATH and English messages."""
    return {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def run(*argv: str, hint: str = "") -> str:
    """Run `argv` and return its standard output.

    Raises:
        Failed: it ended with another code than 0; the details are its last lines.
    """
    done = subprocess.run(  # noqa: S603 - argument lists of our own making
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(), check=False
    )
    if done.returncode:
        raise _failure(argv, done.returncode, (done.stdout + done.stderr).splitlines(), hint)
    return done.stdout


def follow(argv: Iterable[str], on_line: Callable[[str], None], *, stdin: str = "") -> None:
    """Run `argv` and pass each line of its output to `on_line`; it dies with this process, whatever ends that.

    It runs in a PID namespace and a mount namespace of its own (`unshare(1)`), so its children and mounts end with it,
    and the files that it wrote can be removed safely afterwards.

    Raises:
        Failed: it ended with another code than 0; the details are its last lines.
    """
    argv = tuple(argv)
    cell = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - argument lists of our own making
        (*cell, "--mount-proc", *argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            assert process.stdin and process.stdout  # noqa: S101 - both are pipes
            process.stdin.write(stdin)
            process.stdin.close()
            for line in process.stdout:
                lines = [*lines[-SHOWN:], line.rstrip()]
                on_line(line.rstrip())
        except BaseException:
            process.kill()
            # Children hold the other end of the pipe: at its end they are gone, and their files can be removed.
            for _ in process.stdout or ():
                pass
            raise
    if process.returncode:
        raise _failure(argv, process.returncode, lines, "")


def _failure(argv: tuple[str, ...], code: int, lines: list[str], hint: str) -> Failed:
    shown = tuple(line for line in lines if line.strip())[-SHOWN:]
    return Failed(f"`{' '.join(argv[:4])}` ended with {code}", hint, details=shown)
