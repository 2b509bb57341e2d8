"""source.sh of a build: what stays of earlier builds, for each toolchain."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from warpbeam.host.script import PACKAGE

SOURCE = (PACKAGE / "build/source.sh").read_text()


def swap(build: Path, toolchain: str) -> None:
    """Do what a build by that toolchain does with the caches, as bash in a build does it."""
    script = f'set -euo pipefail\nshopt -s nullglob\nbuild=$1 src=$1/src place=\n{SOURCE}\nswap_caches "$2"'
    argv = ["bash", "-c", script, "test", str(build), toolchain]
    subprocess.run(argv, env={"PATH": os.environ["PATH"]}, check=True)
    (build / "toolchain").write_text(f"{toolchain}\n")


def compiled(build: Path) -> set[str]:
    """The names of the files that the source has beside its own."""
    return {str(file.relative_to(build / "src")) for file in (build / "src").rglob("*") if file.is_file()}


def make(build: Path, name: str) -> None:
    """Write what a build makes: a compiled file, and a fetched package."""
    for path in (f"_build/prod/{name}", f"deps/{name}/.hex"):
        file = build / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_what_one_toolchain_made_is_kept_for_it_and_for_no_other(tmp_path: Path) -> None:
    (tmp_path / "src/deps/own").mkdir(parents=True)
    (tmp_path / "src/deps/own/mix.exs").touch()
    own = "deps/own/mix.exs"
    swap(tmp_path, "one")
    make(tmp_path, "first")

    swap(tmp_path, "one")
    assert compiled(tmp_path) == {own, "_build/prod/first", "deps/first/.hex"}
    swap(tmp_path, "two")
    assert compiled(tmp_path) == {own}
    make(tmp_path, "second")
    swap(tmp_path, "one")
    assert compiled(tmp_path) == {own, "_build/prod/first", "deps/first/.hex"}
    swap(tmp_path, "two")
    assert compiled(tmp_path) == {own, "_build/prod/second", "deps/second/.hex"}


def test_what_two_other_toolchains_made_is_kept_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for toolchain in ("one", "two", "three", "four"):
        swap(tmp_path, toolchain)
        make(tmp_path, toolchain)

    assert {cache.name for cache in (tmp_path / "caches").iterdir()} == {"two", "three"}
