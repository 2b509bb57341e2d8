"""The needs of a build beside its source: included paths, git submodules, files of Git LFS, dependencies, caches."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build_environment import last_manifest
from tests.environment import LabEnvironment

DEPENDENCY = """defmodule %(module)s.MixProject do
  use Mix.Project
  def project, do: [app: :%(app)s, version: "1.0.0"]
end
"""


class Repository:
    """A git repository of a test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        """Run git with an identity; submodules may come from this machine's files."""
        settings = ("user.name=Test", "user.email=test@localhost", "commit.gpgsign=false", "protocol.file.allow=always")
        given = [word for setting in settings for word in ("-c", setting)]
        argv = ["git", "-C", str(self.directory), *given, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file of the working tree."""
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)

    def add_package(self, place: str, app: str, module: str) -> None:
        """Write a Mix project with one module, at `place`."""
        below = f"{place}/" if place else ""
        self.write(f"{below}mix.exs", DEPENDENCY % {"app": app, "module": module})
        self.write(f"{below}lib/{app}.ex", f"defmodule {module} do\n  def number, do: 1\nend\n")


@pytest.fixture
def monorepo(environment: LabEnvironment, tmp_path: Path) -> Iterator[Repository]:
    """A repository in which the app is in apps/hello, beside a library that it needs."""
    made = Repository(tmp_path / "monorepo")
    shutil.copytree(environment.source, made.directory / "apps/hello", ignore=shutil.ignore_patterns(".git"))
    made.add_package("apps/shared_lib", "shared_lib", "SharedLib")
    made.write("apps/site/index.html", "not for the build host")
    mix = made.directory / "apps/hello/mix.exs"
    needs = '{:shared_lib, path: "../shared_lib"}, {:money, path: "vendor/money"}'
    mix.write_text(mix.read_text().replace("deps: []", f"deps: [{needs}]"))
    money = Repository(tmp_path / "money")
    money.add_package("", "money", "Money")
    money.commit("the first version")
    made.git("submodule", "add", "-q", str(money.directory), "apps/hello/vendor/money")
    made.git("lfs", "install", "--local")
    made.write(".gitattributes", "*.png filter=lfs diff=lfs merge=lfs -text\n")
    made.write("apps/hello/priv/logo.png", "a picture")
    made.commit("the first version")
    environment.write(source=str(made.directory / "apps/hello"), build={"include": ["../shared_lib"]})
    yield made
    environment.write()


def digests(environment: LabEnvironment, ending: str) -> list[str]:
    """The digests of the files that end so in what was built last."""
    return [item.sha256 for item in last_manifest(environment).files if item.path.endswith(ending)]


def test_an_app_of_a_monorepo_is_built_with_its_library_submodule_and_lfs_files(
    environment: LabEnvironment, monorepo: Repository
) -> None:
    environment.fab("build-on-host")
    picture = hashlib.sha256(b"a picture").hexdigest()
    assert digests(environment, "/priv/logo.png") == [picture]
    library, money = digests(environment, "/Elixir.SharedLib.beam"), digests(environment, "/Elixir.Money.beam")
    assert len(library) == len(money) == 1
    listed = environment.lab.ssh("build1", "ls /opt/acme/hello/build/src", "deploy").stdout.split()
    assert listed == ["hello", "shared_lib"]

    # A change of the library alone makes another artifact, and only that module is compiled again.
    monorepo.write("apps/shared_lib/lib/shared_lib.ex", "defmodule SharedLib do\n  def number, do: 2\nend\n")
    monorepo.commit("the library, changed")
    again = environment.fab("build-on-host")
    assert "built already" not in again.stderr
    assert "Compiling 1 file (.ex)" in again.stderr
    assert digests(environment, "/Elixir.SharedLib.beam") not in ([], library)
    monorepo.write("apps/site/index.html", "another page")
    monorepo.commit("nothing that is built")
    assert "built already" in environment.fab("build-on-host").stderr

    # The working tree is built with the same places; the submodule is at a commit of its own.
    clone = Repository(monorepo.directory / "apps/hello/vendor/money")
    clone.write("lib/money.ex", "defmodule Money do\n  def number, do: 3\nend\n")
    clone.commit("more")
    monorepo.write("apps/shared_lib/lib/shared_lib.ex", "defmodule SharedLib do\n  def number, do: 1\nend\n")
    assert "differs from HEAD in 2 files" in environment.fab("build-on-host", expect=3).stderr
    environment.fab("build-on-host", "--dirty")
    assert digests(environment, "/Elixir.SharedLib.beam") == library
    assert digests(environment, "/Elixir.Money.beam") not in ([], money)
    assert digests(environment, "/priv/logo.png") == [picture]
    assert environment.lab.ssh("build1", "ls /opt/acme/hello/build/src", "deploy").stdout.split() == listed
