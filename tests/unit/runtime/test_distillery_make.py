"""distillery_built.sh: which hint a build gives where Distillery cannot make a release."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from warpbeam.host.script import PACKAGE

SCRIPT = (PACKAGE / "runtime/distillery_built.sh").read_text()
# The build's functions, with a Mix that says what the test wants.
BEFORE = """
set -euo pipefail
build=$1 mix_env=prod release=hello
attempt() { cat >"$build/log"; return 1; }
fail() { printf '%s\\n' "$@"; exit 4; }
fail_of() { echo "no hint for $1"; exit 4; }
cd -- "$build"
mkdir rel && : >rel/config.exs
"""


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("==> Invalid application `:sasl`! The file sasl.app does not exist or cannot be loaded.", "prune_code_paths"),
        ("==> Release failed: {:error, :eacces}", "Erlang/OTP 25"),
        ("function Mix.Dep.loaded/1 is undefined", "Distillery 1.5"),
        ("something else", "no hint for mix release"),
    ],
)
def test_a_hint_is_about_why_distillery_makes_no_release(tmp_path: Path, said: str, hint: str) -> None:
    argv = ["bash", "-c", f"{BEFORE}{SCRIPT}\ndistillery_make", "test", str(tmp_path)]

    done = subprocess.run(
        argv, input=said, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 4, done.stderr
    assert hint in done.stdout
