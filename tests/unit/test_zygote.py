"""A script that the zygote runs cannot tell it from a new interpreter, and neither can who runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.environment import PROJECT
from tests.zygote import READ_LATE, zygote

FAB = str(Path(sys.executable).parent / "fab")
# All that a process has from its parent, but for its number and its parent's.
TELLING = """
import os, signal, sys
print(os.getcwd(), sys.argv, sys.path, __name__, __file__, os.getpgrp())
for item in sorted(os.environ.items()):
    print(item)
print([number for number in range(3, 64) if os.path.exists(f"/proc/self/fd/{number}")])
print([signal.getsignal(number) for number in sorted(signal.valid_signals())], signal.pthread_sigmask(0, ()))
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering, stream.isatty())
"""
# More than a pipe holds, in both directions, with each kind of line end.
TALKING = (
    r"import sys; text = sys.stdin.read(); print(len(text), 'ö' * 100_000, end='\r\n'); print(text, file=sys.stderr)"
)


def script(directory: Path, text: str) -> list[str]:
    """The command line of a script of that text."""
    file = directory / "script.py"
    file.write_text(text)
    return [str(file), "one", "t w o"]


def in_zygote(argv: list[str], text: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run it in a process that the zygote forks."""
    return zygote().run(argv, text, timeout, PROJECT, os.environ)


def in_interpreter(argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run it in a new interpreter."""
    words = [sys.executable, *argv]
    # Named, since readline sets COLUMNS behind Python's back.
    return subprocess.run(
        words, input=text, capture_output=True, text=True, check=False, cwd=PROJECT, env=dict(os.environ)
    )


@pytest.mark.parametrize(
    "text",
    [
        TELLING,
        TALKING,
        "raise SystemExit(3)",
        "import os; os._exit(7)",
        "import os; print('said', flush=True); os.kill(os.getpid(), 9)",
        "import atexit; atexit.register(print, 'the end')",
        "import threading, time; threading.Thread(target=lambda: [time.sleep(0.1), print('late')]).start()",
    ],
    ids=["tells", "talks", "exits", "exits at once", "is killed", "says something at exit", "has a thread"],
)
def test_a_script_runs_and_ends_as_in_a_new_interpreter(tmp_path: Path, text: str) -> None:
    argv = script(tmp_path, text)
    long = "wörds\n" * 50_000

    found, expected = in_zygote(argv, long), in_interpreter(argv, long)

    assert (found.returncode, found.stdout.split("\n")) == (expected.returncode, expected.stdout.split("\n"))
    assert found.stderr == expected.stderr


def test_a_traceback_is_shown_and_ends_in_the_script(tmp_path: Path) -> None:
    done = in_zygote(script(tmp_path, "raise ValueError('of a test')"))

    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("ValueError: of a test\n")


@pytest.mark.parametrize("words", [["--list"], ["--version"], ["no.such.task"]], ids=" ".join)
def test_fab_says_the_same_and_ends_the_same(words: list[str]) -> None:
    found, expected = in_zygote([FAB, *words]), in_interpreter([FAB, *words])

    assert (found.returncode, found.stdout, found.stderr) == (expected.returncode, expected.stdout, expected.stderr)


def test_neither_tasks_nor_tests_are_imported_before_the_script(tmp_path: Path) -> None:
    ours = "[name for name in sys.modules if name.split('.')[0] in ('tasks', 'fabfile', 'tests')]"

    assert in_zygote(script(tmp_path, f"import sys; print({ours})")).stdout == "[]\n"


IMPORTING = """
import importlib, os, pkgutil, sys
read = []
find = type(os.environ).__getitem__
type(os.environ).__getitem__ = lambda self, name: read.append(name) or find(self, name)
sys.path.insert(0, os.getcwd())
import warpbeam
for module in pkgutil.walk_packages(warpbeam.__path__, "warpbeam."):
    importlib.import_module(module.name)
print(*sorted({name for name in read if name.startswith(tuple(sys.argv[3:]))}))
print(len(sys.modules) > 300, "PATH" in read)
"""


def test_no_module_of_warpbeam_reads_a_variable_of_its_own_while_it_is_imported(tmp_path: Path) -> None:
    done = in_interpreter([*script(tmp_path, IMPORTING), *READ_LATE])

    assert done.stdout == "\nTrue True\n", done.stderr


def test_a_script_that_does_not_end_is_killed(tmp_path: Path) -> None:
    endless = script(tmp_path, f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
                               "while True: time.sleep(1)")  # fmt: skip

    with pytest.raises(subprocess.TimeoutExpired):
        in_zygote(endless, timeout=2)

    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def test_several_run_at_once(tmp_path: Path) -> None:
    argv = script(tmp_path, "import sys; sys.exit(int(sys.stdin.read()))")

    with ThreadPoolExecutor(8) as pool:
        codes = [done.returncode for done in pool.map(lambda number: in_zygote(argv, str(number)), range(16))]

    assert codes == [*range(16)]


@pytest.mark.parametrize(
    ("variables", "fits"),
    [
        ({"WARPBEAM_INVENTORY": "/other", "FABRIC_ENVIRONMENT": "stage"}, True),
        ({"LC_ALL": "C"}, False),
        ({"PYTHONUNBUFFERED": "other"}, False),
        ({"HOME": "/other"}, False),
    ],
)
def test_variables_that_python_or_a_library_reads_early_need_a_new_interpreter(
    variables: dict[str, str], fits: bool
) -> None:
    assert zygote().fits({**os.environ, **variables}) is fits
