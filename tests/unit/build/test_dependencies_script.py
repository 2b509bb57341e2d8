"""dependencies.sh of a build: Hex and rebar3 are installed only where they are missing and needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from warpbeam.host.script import PACKAGE

PARAMETERS = "hex_mirror= hex_offline=false hex_unsafe=false hex_repositories=() deploy_key= tools=system otp=27.1"
SCRIPT = (PACKAGE / "build/dependencies.sh").read_text()
HEX = '%{\n  "jason": {:hex, :jason, "1.4.4", "a", [:mix], [], "hexpm", "b"},\n}\n'
REBAR = '%{\n  "cowboy": {:hex, :cowboy, "2.9.0", "a", [:make, :rebar3], [], "hexpm", "b"},\n}\n'
GIT = '%{\n  "leaf": {:git, "https://git.example.com/x.git", "a", []},\n}\n'
INSTALLED = ("archives/hex-2.1.1", "elixir/1-17-otp-27/rebar3")


@pytest.mark.parametrize(
    ("lock", "installed", "runs"),
    [
        (HEX, (), ["mix local.hex"]),
        (HEX, INSTALLED[:1], []),
        (REBAR, (), ["mix local.hex", "mix local.rebar"]),
        (REBAR, INSTALLED[:1], ["mix local.rebar"]),
        (REBAR, (INSTALLED[0], "elixir/1-17/rebar3"), []),
        (REBAR, INSTALLED, []),
        # Another Elixir's rebar3.
        (REBAR, (INSTALLED[0], "elixir/1-16-otp-27/rebar3"), ["mix local.rebar"]),
        (GIT, (), []),
        (REBAR.replace("\n", "\r\n"), (), ["mix local.hex", "mix local.rebar"]),
        ("", (), []),
    ],
)
def test_hex_and_rebar3_are_installed_only_where_they_are_missing(
    tmp_path: Path, lock: str, installed: tuple[str, ...], runs: list[str]
) -> None:
    (tmp_path / "mix.lock").write_bytes(lock.encode())
    for name in installed:
        (tmp_path / ".mix" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".mix" / name).touch()

    script = f'{PARAMETERS} elixir=1.17.3\n{SCRIPT}\nmust() {{ echo "$1"; }}\nget_missing mix.lock'
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    argv = ["bash", "-euc", script]
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == runs
