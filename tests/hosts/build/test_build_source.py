"""The build directory is exactly the commit; what did not change is not compiled again; what is said when it fails."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator

import pytest

from tests.background import eventually
from tests.build_environment import change_mix_exs, last_manifest, on_build_host, write_source
from tests.environment import LabEnvironment

MONEY = 'defmodule Money.MixProject do\n  use Mix.Project\n  def project, do: [app: :money, version: "1.0.0"]\nend\n'
# Settings that a login's profile may hold, and a build must ignore.
PROFILE = """
export MIX_EXS=/nowhere/mix.exs MIX_TARGET=rpi MIX_BUILD_PATH=/nowhere MIX_DEPS_PATH=/nowhere ERL_FLAGS=-nonsense
export ELIXIR_ERL_OPTIONS='+Z nonsense' ERL_LIBS=/nowhere TAR_OPTIONS=--nonsense GIT_DIR=/nowhere GZIP=-1 LC_CTYPE=C
export ERL_COMPILER_OPTIONS=nonsense TMOUT=1; readonly TMOUT
"""


@pytest.fixture
def source(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment; what a test commits or leaves lying in the source is gone after it."""
    head = environment.git("rev-parse", "HEAD")
    yield environment
    environment.write()
    environment.git("reset", "-q", "--hard", head)
    environment.git("clean", "-q", "-d", "-x", "--force")


def modules(environment: LabEnvironment, name: str) -> list[str]:
    """The digests of the modules of that name in what was built last."""
    return [item.sha256 for item in last_manifest(environment).files if item.path.endswith(f"/Elixir.{name}.beam")]


def test_the_build_directory_is_exactly_the_commit_and_only_changes_are_compiled(source: LabEnvironment) -> None:
    change_mix_exs(source, "deps: []", 'deps: [{:money, path: "deps/money"}]')
    write_source(source, "deps/money/mix.exs", MONEY)
    write_source(source, "deps/money/lib/money.ex", "defmodule Money do\n  def name, do: :money\nend\n")
    write_source(source, "deps/money/lib/old.ex", "defmodule Money.Old do\nend\n")
    write_source(source, "priv/page.eex", "a page")
    text = '  @external_resource "priv/page.eex"\n  def page, do: unquote(File.read!("priv/page.eex"))\n'
    page = f"defmodule Page do\n{text}end\n"
    write_source(source, "lib/page.ex", page)
    write_source(source, "lib/changing.ex", "defmodule Changing do\n  def number, do: 1\nend\n")
    write_source(source, "priv/static/café menu.txt", "espresso")
    write_source(source, "priv/static/kept/robots.txt", "robots")
    # Something that no earlier run has built.
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("a dependency of its own")
    source.write(build={"keep": ["assets/node_modules", "priv/static/kept"]})
    first = source.fab("build-on-host")
    assert len(modules(source, "Money.Old")) == 1
    # Leftovers of builds and of a person.
    on_build_host(
        source,
        "mkdir -p assets/node_modules/x deps/fetched deps/stray "
        "&& touch assets/node_modules/x/index.js deps/fetched/.hex "
        "priv/static/kept/digest-1.css priv/static/stray.css deps/stray/file deps/money/stray lib/stray.ex "
        "&& echo tampered >priv/page.eex && chmod 600 VERSION && echo 'defmodule Page, do: nil' >lib/page.ex",
    )
    times = "stat -c '%n %Y' lib/hello.ex lib/hello/*.ex config/*.exs mix.exs deps/money/lib/money.ex"
    before = on_build_host(source, times)

    write_source(source, "lib/changing.ex", "defmodule Changing do\n  def number, do: 2\nend\n")
    source.git("rm", "-q", "deps/money/lib/old.ex")
    source.commit("one line, and a module less")
    second = source.fab("build-on-host")

    assert modules(source, "Money.Old") == []
    names = {item.path.rpartition("/priv/")[2] for item in last_manifest(source).files if "/priv/" in item.path}
    assert {"static/café menu.txt", "static/kept/robots.txt", "static/kept/digest-1.css", "page.eex"} <= names
    assert "static/stray.css" not in names
    # Another test's dependency, fetched from a repository, stays too.
    there = on_build_host(source, "find . \\( -path ./_build -o -path ./deps/leaf \\) -prune -o -type f -print").split(
        "\n"
    )
    assert {"./assets/node_modules/x/index.js", "./deps/fetched/.hex", "./priv/static/kept/digest-1.css"} <= {*there}
    tracked = {f"./{name}" for name in source.git("ls-files", "-z").split("\0") if name}
    kept = {"./assets/node_modules/x/index.js", "./deps/fetched/.hex", "./priv/static/kept/digest-1.css", ""}
    assert {*there} - kept == tracked
    assert on_build_host(source, "cat priv/page.eex lib/page.ex") == f"a page{page}"
    # Unchanged files keep their time; files that were changed here or there are compiled, and no others.
    assert on_build_host(source, times) == before
    # (What was tampered with there is new again; a newer Elixir compares its digest and leaves it at that.)
    assert re.search(r"Compiling (2 files|1 file) \(\.ex\)", second.stderr)
    for done in (first, second):
        took = r"build1: took source N s, dependencies N, compile N, release N, check N, package N, download N\n"
        assert re.search(took.replace("N", "[0-9.]+"), done.stderr)

    # A file of a kept directory that git had goes with it, and a change below deps goes out with --dirty.
    old = modules(source, "Money")
    source.git("rm", "-q", "priv/static/kept/robots.txt")
    (source.source / "deps/money/lib/money.ex").write_text("defmodule Money do\n  def name, do: :other\nend\n")
    source.fab("build-on-host", "--dirty")
    assert modules(source, "Money") != old
    assert on_build_host(source, "ls priv/static/kept") == "digest-1.css\n"


def test_a_profile_of_the_login_decides_nothing_and_rebuild_builds_from_nothing(source: LabEnvironment) -> None:
    source.fab("build-on-host")
    on_build_host(source, "touch _build/stray && cp ~/.bashrc ~/.bashrc.before")
    on_build_host(source, f"printf %s {shlex.quote(PROFILE)} | cat - ~/.bashrc.before >~/.bashrc")
    try:
        kept = source.fab("build-on-host")
        built = source.fab("build-on-host", "--rebuild")
    finally:
        on_build_host(source, "mv ~/.bashrc.before ~/.bashrc")

    assert "built already" in kept.stderr
    assert "build1: compile" in built.stderr
    # A line after more than a second of silence is shown too.
    assert "* using config/runtime.exs" in built.stderr
    assert "built hello " in built.stderr
    assert on_build_host(source, "ls _build") == "prod\n"


def test_an_app_without_releases_builds_mix_s_default_one(source: LabEnvironment) -> None:
    change_mix_exs(source, '"compile.app --force"],\n      releases: releases()', '"compile.app --force"]')
    file = source.source / "mix.exs"
    file.write_text(file.read_text().partition("  defp releases do")[0] + "end\n")
    (source.source / "VERSION").write_text("7.7.7\n")
    # Something that no earlier run has built.
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("as mix new makes it")

    built = source.fab("build-on-host")
    # The same where the word stands there for something else.
    file.write_text(f"# no releases\n{file.read_text()}")
    source.commit("a word")
    again = source.fab("build-on-host")

    for done in (built, again):
        assert "built hello 7.7.7 " in done.stderr
    assert "bin/hello" in [item.path for item in last_manifest(source).files]


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        (
            "deps: []",
            'deps: [{:money, path: "../money"}]',
            "the dependency is not available",
            "only what is below `source`",
        ),
        (
            '__DIR__ |> Path.join("VERSION") |> File.read!() |> String.trim()',
            'elem({_, 0} = System.cmd("git", ["describe"]), 0)',
            "not a git repository",
            "without its .git",
        ),
        (
            "aliases: [",
            'aliases: ["release": ["cmd esbuild-that-is-missing", "release"], ',
            "not found",
            "program missing",
        ),
        (
            "aliases: [",
            'aliases: ["release": ["cmd ln -sfn ../../shared priv/shared", "release"], ',
            "could not copy recursively",
            "a link there lead to nothing, or outside",
        ),
        ('elixir: "~> 1.14"', 'elixir: "~> 9.1"', "supports only Elixir ~> 9.1", "install such an Elixir"),
        ("aliases: [", 'aliases: ["compile": ["cmd echo nonsense; exit 3", "compile"], ', "nonsense", ""),
    ],
    ids=["path-above", "git-describe", "missing-program", "link-outside", "another-elixir", "unknown"],
)
def test_a_hint_is_about_what_was_said_and_nothing_is_said_twice(
    source: LabEnvironment, old: str, new: str, said: str, hint: str
) -> None:
    change_mix_exs(source, old, new)
    source.commit("does not build")

    failed = source.fab("build-on-host", expect=4)

    assert said in failed.stderr
    last = failed.stderr.splitlines()[-1]
    assert hint.lower() in last.lower() if hint else last.startswith("error: build1: mix ")
    # (Each mix warns of its own aliases again, with the line that is our input.)
    lines = [line for line in failed.stderr.splitlines() if said in line and "hint:" not in line and new not in line]
    assert len(lines) == len({*lines})


def test_a_release_of_another_name_is_built_and_every_release_starts_by_its_own(source: LabEnvironment) -> None:
    change_mix_exs(
        source,
        "  defp releases do\n    [\n",
        "  defp releases do\n    [\n      hello_worker: [applications: [hello: :permanent]],\n",
    )
    source.commit("two releases")
    source.fab("deploy")

    def runs() -> set[str]:
        """The names of the releases that run, by what the VMs themselves say."""
        said = {source.fab("rpc", 'System.get_env("RELEASE_NAME")', "-H", host).stdout for host in ("web1", "web2")}
        return {name.strip().strip('"') for name in said}

    try:
        assert runs() == {"hello"}
        source.write(release="hello_worker")
        source.fab("setup")
        # Nothing was deployed since: what is live is the other release, and the host may go down and come back.
        source.fab("restart")
        slot = source.lab.ssh("web1", "sudo readlink /opt/acme/hello/current").stdout.strip()[-1]
        source.lab.ssh("web1", f"sudo systemctl restart hello@{slot}")
        assert eventually(lambda: source.fab("status", expect=None).returncode == 0)
        assert runs() == {"hello"}
        deployed = source.fab("deploy")
        assert "live on every host already" not in deployed.stderr
        assert runs() == {"hello_worker"}
        beside = "cat /opt/acme/hello/current/.warpbeam/runtime"
        assert source.lab.ssh("web1", beside, "deploy").stdout == "mix\nhello_worker\n"
        again = source.fab("deploy")
        assert "live on every host already" in again.stderr
        source.fab("rollback")
        assert runs() == {"hello"}
        assert {row["health"] for row in source.status().values()} == {"healthy"}
    finally:
        source.write()
        source.fab("setup")
        source.fab("deploy", "--force")
    assert runs() == {"hello"}
