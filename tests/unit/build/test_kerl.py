"""install.sh of a build: what is shown of a long installation, and what an interrupted one leaves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.timeouts import COMMAND
from warpbeam.host.script import PACKAGE

# Without its last line, which calls `main`.
INSTALL = (PACKAGE / "build/install.sh").read_text().rpartition("\nmain\n")[0]
COMMON = (PACKAGE / "host/common.sh").read_text()
# The functions of the script, with what they find on a host of asdf.
BEFORE = f"""
set -euo pipefail
shopt -s nullglob
root=$1 variables=() tools=${{TOOLS:-asdf}} data=$1/data cache=$1/cache manager=$1/manager log=$1/build/log
mkdir -p "$1"/build "$data"
{COMMON}
line() {{ printf '%s\\n' "line: $1"; }}
step() {{ :; }}
fail() {{ printf '%s\\n' "$@"; exit 4; }}
{INSTALL}
silence=1
"""


def run(directory: Path, script: str, **variables: str) -> str:
    """Run `script` with the functions of install.sh; return its output."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), **variables}
    argv = ["bash", "-c", f"{BEFORE}{script}", "test", str(directory)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=COMMAND, check=False)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return done.stdout


def kerl_log(home: Path, version: str) -> Path:
    """Return the path of the log of a build of Kerl's, whose directory is there."""
    place = home / "builds" / version
    place.mkdir(parents=True)
    return place / f"otp_build_{version.removeprefix('asdf_')}.log"


def test_a_silent_installation_shows_how_long_it_takes_and_what_kerl_does(tmp_path: Path) -> None:
    log = kerl_log(tmp_path / "data/plugins/erlang/kerl-home", "asdf_27.1")

    shown = run(
        tmp_path, f"attempt bash -c 'echo begun; sleep 0.2; echo CC erl_process.o >{log}; sleep 1.5; echo done'"
    )

    assert shown.splitlines()[0] == "line: begun"
    assert "line: (0 min 1 s) CC erl_process.o" in shown or "line: (0 min 2 s) CC erl_process.o" in shown


def test_the_log_of_an_earlier_build_of_kerl_is_not_shown(tmp_path: Path) -> None:
    log = kerl_log(tmp_path / "data/plugins/erlang/kerl-home", "asdf_26.1")
    log.write_text("of yesterday\n")
    os.utime(log, (1, 1))

    shown = run(tmp_path, "attempt bash -c 'echo begun; sleep 1.5'")

    assert "of yesterday" not in shown
    assert "line: (0 min " in shown


def test_a_line_that_comes_in_two_parts_is_shown_whole(tmp_path: Path) -> None:
    shown = run(tmp_path, "attempt bash -c 'printf one; sleep 1.5; echo two'")

    assert "line: onetwo" in shown


def test_of_a_line_that_was_written_over_its_last_state_is_shown(tmp_path: Path) -> None:
    shown = run(tmp_path, "attempt printf '0 percent\\r100 percent\\r\\n' && fail_to install")

    assert "line: 100 percent\n" in shown
    assert "0 percent\r" not in shown
    assert shown.endswith("\n100 percent\n")


def test_where_kerl_fails_the_message_has_the_last_lines_of_its_log(tmp_path: Path) -> None:
    log = kerl_log(tmp_path / "data/plugins/erlang/kerl-home", "asdf_27.1")
    earlier = kerl_log(tmp_path / "data/plugins/erlang/kerl-home", "asdf_26.1")
    earlier.write_text("of yesterday\n")
    os.utime(earlier, (1, 1))
    failing = f"sleep 0.1; echo 'configure: error: No curses library functions found' >{log}; exit 1"

    said = run(tmp_path, f'attempt bash -c "{failing}" || fail_to "install erlang 27.1"')

    assert "configure: error: No curses library functions found" in said
    assert "build: {install: true}" in said
    assert "of yesterday" not in said


INTERRUPTED = {
    # The mark of an installation that has begun, and Kerl's directory.
    "asdf": ("data/.warpbeam-erlang-27.1", "data/plugins/erlang/kerl-home", "asdf_27.1"),
    "mise": ("cache/erlang/27.1/incomplete", "cache/erlang/kerl", "27.1"),
}


@pytest.mark.parametrize("tools", INTERRUPTED)
def test_a_build_of_kerl_that_was_interrupted_is_removed_and_only_that(tmp_path: Path, tools: str) -> None:
    mark, home, name = INTERRUPTED[tools]
    manager = tmp_path / "manager"
    # Kerl refuses to build where an earlier one left its lock file.
    manager.write_text(f"#!/bin/sh\n! test -e {tmp_path}/{home}/builds/{name}/build.lock\n")
    manager.chmod(0o755)
    lock = kerl_log(tmp_path / home, name).with_name("build.lock")
    other = kerl_log(tmp_path / home, name.replace("27", "26")).with_name("build.lock")
    lock.touch()
    other.touch()

    # Somebody else's build: there is no mark.
    alone = run(tmp_path, f"install_by_{tools} erlang 27.1", TOOLS=tools)
    assert "could not install erlang 27.1" in alone
    assert lock.exists()
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).touch()
    again = run(tmp_path, f"install_by_{tools} erlang 27.1", TOOLS=tools)

    assert "could not" not in again
    assert not lock.exists()
    assert other.exists()


def test_a_plugin_that_cannot_be_added_is_not_called_a_version(tmp_path: Path) -> None:
    said = run(tmp_path, "echo 'fatal: dumb http transport' >$log; manager=false; add_plugin erlang")

    assert "asdf could not add the plugin erlang" in said
    assert "its list of plugins" in said
    assert "version" not in said
