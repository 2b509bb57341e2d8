"""A program of this machine, run to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable

from warpbeam.error import Failed

# A person who is not root, and some `sudo` configurations, have no sbin in their PATH.
PATH = os.pathsep.join(dict.fromkeys((*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin")))
# How many of a failed program's last lines a person is shown.
SHOWN = 15


def environment() -> dict[str, str]:
    """What programs see: this process's environment with sbin in PATH, and English messages."""
    return {**os.environ, "PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def run(*argv: str, hint: str = "") -> str:
    """Run `argv` and give its standard output.

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
    """Run `argv`, giving each line of its output to `heard`; it dies with this process, whatever ends that.

    A process and mount namespace of its own (`unshare(1)`) takes its children and its mounts along, so what
    it wrote can be removed safely afterwards.

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
            # Its children hold the other end: when the pipe ends they are gone, and what they wrote can be removed.
            for _ in process.stdout or ():
                pass
            raise
    if process.returncode:
        raise _failure(argv, process.returncode, lines, "")


def _failure(argv: tuple[str, ...], code: int, lines: list[str], hint: str) -> Failed:
    shown = tuple(line for line in lines if line.strip())[-SHOWN:]
    return Failed(f"`{' '.join(argv[:4])}` ended with {code}", hint, details=shown)
