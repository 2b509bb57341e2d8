"""A question to a program of this machine: what it prints, within a time and a bound, or its own last words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from warpbeam.error import Refused

# A tenth of this is the output of `ansible-inventory --list` for 10,000 hosts with a few variables each.
MOST_BYTES = 64 << 20
LAST_LINES = 20
SHORTEST_NAP, LONGEST_NAP = 0.005, 0.1  # seconds
GRACE = 3  # seconds between asking a program to end and ending it


class Answer(NamedTuple):
    """The bytes that a program printed on its standard output, and its last lines on standard error."""

    printed: bytes
    last_words: tuple[str, ...] = ()


def ask(
    argv: Sequence[str] | str, directory: Path, seconds: float, said: str, variables: Mapping[str, str] | None = None
) -> Answer:
    """Return what a program prints on its standard output, without a terminal and without standard input.

    It runs with the variables of this process, in a process group of its own, which ends with it where it takes too
    long, prints too much, or this process is interrupted.

    Parameters:
        argv: the words of the program, or one text for the shell.
        said: what a message begins with.
        variables: set in addition to this process's own.

    Raises:
        Refused: it cannot be started, failed, took too long, or printed too much; `details` are its last words.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(  # noqa: S603 (the command is the inventory author's own)
                argv,
                shell=isinstance(argv, str),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=complaints,
                env={**os.environ, **(variables or {})},
                start_new_session=True,
            )
        except OSError as error:
            name = "the command" if isinstance(argv, str) else argv[0]
            reason = f"{said}: {name} cannot be started: {error.strerror}"
            raise Refused(reason, f"is it installed here, and in PATH? It starts in {directory}") from None
        try:
            ending = _ending(process, printed, complaints, seconds)
        finally:
            _end(process)
        if ending:
            raise Refused(
                f"{said}: {ending}", f"run it by hand in {directory} to see all of it", _last_lines(complaints)
            )
        printed.seek(0)
        return Answer(printed.read(), _last_lines(complaints))


def _ending(process: subprocess.Popen[bytes], printed: IO[bytes], complaints: IO[bytes], seconds: float) -> str:
    """Wait for the end of a program; return what was wrong with it, or an empty text."""
    until = time.monotonic() + seconds
    for nap in _naps():
        if any(os.fstat(file.fileno()).st_size > MOST_BYTES for file in (printed, complaints)):
            return f"expected a list of hosts, found more than {MOST_BYTES >> 20} MiB"
        status = process.poll()
        if status is not None:
            return f"it failed with status {status}" if status else ""
        if time.monotonic() > until:
            return f"expected a list of hosts within {seconds:g} s (`timeout`), found none"
        time.sleep(nap)
    return ""


def _naps() -> Iterator[float]:
    nap = SHORTEST_NAP
    while True:
        yield nap
        nap = min(2 * nap, LONGEST_NAP)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, with all of its process group.

    A program that began a session of its own, such as `fab`, ends what it has started when it is asked to end.
    """
    if process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE if number == signal.SIGTERM else None)


def _last_lines(complaints: IO[bytes]) -> tuple[str, ...]:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - (1 << 16)))
    text = complaints.read(1 << 16).decode("utf-8", "replace")
    return tuple(line[:500] for line in text.splitlines() if line.strip())[-LAST_LINES:]
