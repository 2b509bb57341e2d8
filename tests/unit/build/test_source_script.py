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


def carried(build: Path, name: str) -> None:
    """Run the function that takes in what rsync has brought into a directory, as bash in a build does it."""
    script = f"set -euo pipefail\nbuild=$1 carried=$2\n{SOURCE}\nkeep_copy"
    subprocess.run(["bash", "-c", script, "test", str(build), name], env={"PATH": os.environ["PATH"]}, check=True)


def begin(build: Path, name: str) -> None:
    """Make the directory of a copy, as the phase before an rsync does it."""
    parts = "\n".join((PACKAGE / f"{part}.sh").read_text() for part in ("host/json", "host/common", "build/carry"))
    (build / "build").mkdir(exist_ok=True)
    script = f"root=$1 carried=$2\n{parts}"
    subprocess.run(["bash", "-c", script, "test", str(build), name], check=True, stdout=subprocess.DEVNULL)


def test_two_builds_of_working_trees_at_once_have_a_copy_each(tmp_path: Path) -> None:
    build = tmp_path / "build"
    begin(tmp_path, "carried.one")
    (build / "carried.one/mine").touch()
    begin(tmp_path, "carried.two")
    assert [*(build / "carried.two").iterdir()] == []
    (build / "carried.two/yours").touch()

    carried(build, "carried.one")
    # The next one begins with it; the other build, which ends later, is not in the way.
    begin(tmp_path, "carried.three")
    assert (build / "carried.three/mine").exists()
    carried(build, "carried.two")
    carried(build, "carried.three")

    assert {path.name for path in build.iterdir()} == {"carried"}
    assert [path.name for path in (build / "carried").iterdir()] == ["mine"]


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
