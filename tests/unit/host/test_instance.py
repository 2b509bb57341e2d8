"""Facts of a process from /proc, whatever the process calls itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from warpbeam.host.template import shared

NAMING = "import sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize("name", ["plain", "a b", "a) S", "a) S\n", "a) S 1\n", "\n\n"])
def test_a_process_that_names_itself_oddly_has_its_own_parent_and_start_time(name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", NAMING, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        script = f"set -euo pipefail; app=x\n{shared('host/instance')}\nstat_of {process.pid}\n"
        asked = f"{script}echo ${{fields[1]}}; birth_of {process.pid}; echo $REPLY"
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
        parent, birth = done.stdout.split()

    assert parent == str(os.getpid())
    assert int(birth) > 0
