"""The real Ansible: ansible-core as bench/requirements.txt locks it, installed once in bench's own environment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.venv import VENV, program
from tests.environment import PROJECT, UV
from tests.timeouts import LONG

LOCKED = PROJECT / "bench" / "requirements.txt"


def ansible_programs() -> Path:
    """Return the directory of Ansible's programs, made as script/bench makes it where it is not there or is old."""
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with (VENV.parent / "lock").open("w") as lock:
        # Several processes of a run of tests may be the first.
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = VENV / "locked"
        if not mark.exists() or mark.read_bytes() != LOCKED.read_bytes():
            environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
            python = program("python")
            sync = ("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, LOCKED)
            for words in (("venv", "--quiet", "--clear", "--python", sys.executable, VENV), sync):
                subprocess.run((UV, *words), check=True, env=environment, timeout=LONG)
            shutil.copy(LOCKED, mark)
    return Path(program("ansible")).parent


def variables(home: Path) -> dict[str, str]:
    """Return the variables for Ansible, whose own files are below `home`, and which fab then finds in PATH."""
    return {
        "PATH": f"{ansible_programs()}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_NOCOWS": "1",
        # By default a connection stays for a minute, and the next command uses it, whatever its settings are.
        "ANSIBLE_SSH_ARGS": "-C",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }


def ansible(*words: str, environ: Mapping[str, str], expect: int = 0) -> str:
    """Run one of Ansible's programs, and return what it prints; fails the test unless it ends with `expect`."""
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )
    assert done.returncode == expect, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
