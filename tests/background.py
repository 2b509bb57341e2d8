"""A `fab` that runs during the test, and waiting for a condition."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.environment import PROJECT, LabEnvironment
from tests.timeouts import LONG


@contextmanager
def running_fab(environment: LabEnvironment, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """`fab WORDS…` in a process of its own, once it has said `until` on standard error; killed in the end."""
    # A background job of a shell has SIGINT ignored; a person's command has not.
    argv = ["env", "--default-signal=INT", *environment.argv(*words)]
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, **environment.variables}
    )
    assert process.stderr is not None
    try:
        said = ""
        while until not in said:
            line = process.stderr.readline()
            assert line, f"it ended before it said {until!r}: {said}"
            said += line
        yield process
    finally:
        process.kill()
        process.communicate()


def await_end(process: subprocess.Popen[str], seconds: float = LONG) -> tuple[int, str]:
    """The exit status of a process and what it said since, once it has ended by itself."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def eventually(holds: Callable[[], bool], seconds: float = LONG) -> bool:
    """Return whether it holds within that time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def is_activating(environment: LabEnvironment, host: str) -> bool:
    """Return whether an activation runs on the host."""
    state = environment.lab.ssh(host, "systemctl show -P ActiveState hello-activate", check=False).stdout.strip()
    return state.endswith("activating")


def is_serving(environment: LabEnvironment, host: str, version: str) -> bool:
    """Return whether the host serves that version on port 80."""
    try:
        return bool(environment.served(host)["version"] == version)
    except OSError:
        return False
