"""Builds do not depend on a login's environment or settings; projects of other shapes are built as they are."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.assertions import assert_serves
from tests.build_environment import change_mix_exs, last_manifest, on_build_host, write_source
from tests.environment import LabEnvironment

UMBRELLA = """defmodule Shop.MixProject do
  use Mix.Project

  def project do
    [apps_path: "apps", version: version(), deps: [], releases: releases()]
  end

  defp releases do
    [
      money: [version: "0.0.0", applications: [money: :permanent]],
      hello: [version: version(), applications: apps()]
    ]
  end

  defp apps, do: [hello: :permanent, money: :permanent]
  defp version, do: "3.0.0-" <> String.slice(System.fetch_env!("WARPBEAM_COMMIT"), 0, 7)
end
"""
MONEY = """defmodule Money.MixProject do
  use Mix.Project
  def project, do: [app: :money, version: "1.0.0", deps: deps(), build_path: "../../_build"] ++ paths()
  defp deps, do: [{:coins, path: "../../libs/coins"}]
  defp paths, do: [deps_path: "../../deps", lockfile: "../../mix.lock", config_path: "../../config/config.exs"]
end
"""
COINS = 'defmodule Coins.MixProject do\n  use Mix.Project\n  def project, do: [app: :coins, version: "1.0.0"]\nend\n'


@pytest.fixture
def hostile(environment: LabEnvironment, tmp_path: Path) -> dict[str, str]:
    """Variables that a git hook, a build, a shell or a person may have; each would change what our programs do."""
    other = tmp_path / "other"
    shutil.copytree(environment.source, other)
    (other / "VERSION").write_text("6.6.6\n")
    (tmp_path / "config").write_text(f"[core]\n\tautocrlf = true\n\tattributesFile = {tmp_path}/attributes\n")
    (tmp_path / "attributes").write_text("priv/** export-ignore\n* text eol=crlf\n")
    (tmp_path / "rc").write_text(f"touch {tmp_path}/ran\n")
    return {
        "GIT_DIR": f"{other}/.git",
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": f"{other}/.git/index",
        "GIT_CONFIG_GLOBAL": f"{tmp_path}/config",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_CONFIG_PARAMETERS": "'core.eol'='crlf'",
        "GIT_ATTR_SOURCE": "HEAD",
        "GIT_TRACE": "2",
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "RSYNC_RSH": "/bin/false",
        "RSYNC_PROTECT_ARGS": "0",
        "RSYNC_ICONV": "utf8,latin1",
        "TAR_OPTIONS": "--nonsense",
        "GZIP": "--nonsense",
        "POSIXLY_CORRECT": "1",
        "BASH_ENV": f"{tmp_path}/rc",
        "ENV": f"{tmp_path}/rc",
        "CDPATH": "/",
        "GLOBIGNORE": "*",
        "SHELLOPTS": "noglob:posix",
        "BASH_FUNC_tar%%": "() {  touch /tmp/never; false\n}",
        "LC_ALL": "C",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Kiritimati",
        "MIX_ENV": "dev",
        "ERL_COMPILER_OPTIONS": "nonsense",
        "IFS": "/",
    }


def test_no_variable_of_the_person_who_deploys_decides_anything(
    source: LabEnvironment, hostile: dict[str, str], tmp_path: Path
) -> None:
    write_source(source, "priv/r\u00e9sum\u00e9 of it.txt", "one\ntwo\n")
    write_source(source, "VERSION", "4.5.6\n")
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("lines")
    # Settings of this clone alone; a commit's bytes do not change by them.
    for name, value in {"core.autocrlf": "true", "core.quotePath": "false", "tar.umask": "077"}.items():
        source.git("config", name, value)
    try:
        built = source.fab("build-on-host", "--rebuild", variables=hostile)
        plain = last_manifest(source)
        kept = source.fab("build-on-host")
        write_source(source, "priv/dirty.txt", "three\n")
        source.fab("deploy", "--dirty", variables=hostile)
        dirty = last_manifest(source)
    finally:
        for name in ("core.autocrlf", "core.quotePath", "tar.umask"):
            source.git("config", "--unset", name)

    assert f"built hello 4.5.6 ({plain.commit[:8]})" in built.stderr
    assert "built already" in kept.stderr
    sizes = {item.path.rpartition("/priv/")[2]: item.size for item in plain.files if "/hello-4.5.6/priv/" in item.path}
    assert sizes["r\u00e9sum\u00e9 of it.txt"] == len("one\ntwo\n")
    # A dirty tree goes out as it lies there.
    of_dirty = {item.path.rpartition("/priv/")[2]: item.size for item in dirty.files}
    assert of_dirty["dirty.txt"] == len("three\n")
    assert not (tmp_path / "ran").exists()
    assert_serves(source, "4.5.6")


def test_an_umbrella_in_a_subdirectory_with_a_computed_version_is_built(source: LabEnvironment, tmp_path: Path) -> None:
    shop = tmp_path / "mono" / "services" / "shop"
    shutil.copytree(source.source, shop / "apps" / "hello", ignore=shutil.ignore_patterns(".git", ".tool-versions"))
    (shop / "apps" / "hello" / "config").rename(shop / "config")
    text = (shop / "apps/hello/mix.exs").read_text()
    paths = MONEY.partition("defp paths, do: [")[2].partition("]")[0]
    text = text.replace("deps: [],", f'deps: [], build_path: "../../_build", {paths},')
    (shop / "apps/hello/mix.exs").write_text(text.replace("releases: releases()", "releases: []"))
    for name, content in {
        "mix.exs": UMBRELLA,
        "apps/money/mix.exs": MONEY,
        "apps/money/lib/money.ex": "defmodule Money do\n  def coins, do: Coins.all()\nend\n",
        "libs/coins/mix.exs": COINS,
        "libs/coins/lib/coins.ex": "defmodule Coins do\n  def all, do: [1, 2, 5]\nend\n",
        "apps/hello/assets/package.json": f"{time.time_ns()}\n",
    }.items():
        (shop / name).parent.mkdir(parents=True, exist_ok=True)
        (shop / name).write_text(content)
    # At the top of the repository, where asdf and mise look too.
    (tmp_path / "mono" / ".tool-versions").write_text("elixir 1\nerlang system\n")
    source.git("-C", str(tmp_path / "mono"), "init", "-q", "-b", "main")
    for words in (("add", "--all"), ("commit", "-q", "-m", "an umbrella")):
        source.git("-C", str(tmp_path / "mono"), *words)
    commit = source.git("-C", str(tmp_path / "mono"), "rev-parse", "HEAD")
    source.write(source=str(shop), release="hello")
    try:
        built = source.fab("build-on-host")
        on_build_host(source, "mkdir -p apps/hello/assets/node_modules/x && touch apps/hello/assets/node_modules/x/y")
        (shop / "apps/hello/assets/package.json").write_text("changed\n")
        source.git("-C", str(tmp_path / "mono"), "commit", "-q", "-a", "-m", "one file")
        source.fab("build-on-host")
        found = last_manifest(source)
        there = on_build_host(source, "find . -name y; ls")
    finally:
        source.write()

    assert f"built hello 3.0.0-{commit[:7]} ({commit[:8]})" in built.stderr
    assert any(item.path.endswith("/Elixir.Coins.beam") for item in found.files)
    assert there.split() == ["./apps/hello/assets/node_modules/x/y", "_build", "apps", "config", "libs", "mix.exs"]


RELEASE = """version: "0.1.0+build.5-rc.1", cookie: "none", overlays: ["rel/overlays", "rel/more"], path: "elsewhere",
        rel_templates_path: "rel/templates", applications: [runtime_tools: :permanent, hello: :permanent],
        config_providers: [{Config.Reader, {:system, "RELEASE_ROOT", "/more.exs"}}], reboot_system_after_config: true,
        quiet: false, """


def test_a_release_with_every_option_of_mix_goes_live_and_is_reached(source: LabEnvironment) -> None:
    change_mix_exs(source, "hello: [\n", f"hello: [\n        {RELEASE}\n")
    write_source(source, "rel/overlays/bin/server", "#!/bin/sh\n")
    write_source(source, "rel/more/more.exs", "import Config\nconfig :hello, more: :provided\n")
    write_source(source, "rel/templates/vm.args.eex", "-env OF_VM_ARGS yes\n+A 64\n")
    # The directory that it was started in is no longer the process's.
    write_source(source, "rel/templates/env.sh.eex", "#!/bin/sh\nexport OF_ENV_SH=yes\ncd /\n")
    source.commit("all options")
    try:
        source.fab("deploy")

        rows = source.status().values()
        assert {(row["version"], row["health"]) for row in rows} == {("0.1.0+build.5-rc.1", "healthy")}
        of_files = 'System.get_env("OF_VM_ARGS"), System.get_env("OF_ENV_SH"), File.cwd!()'
        asked = f"{{Application.get_env(:hello, :more), {of_files}}}"
        assert source.fab("rpc", asked, "-H", "web1").stdout == '{:provided, "yes", "yes", "/"}\n'
        # It boots twice before it evaluates.
        expression = "Application.load(:hello); {Application.get_env(:hello, :more), ~S(é '\n)}"
        evaluated = source.fab("eval", expression, "-H", "web1")
        assert evaluated.stdout == '{:provided, "é \'\\n"}\n'
    finally:
        source.git("reset", "-q", "--hard", "HEAD~1")
        source.fab("deploy")


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ("elixir 1.1 1\nerlang 2", "for Erlang 2;"),
        ("elixir 1\nerlang system", ""),
        ("elixir ref:main\nerlang path:/usr/lib/erlang", ""),
        ("elixir 1.1 latest", ""),
        ("elixir 1.0.9 1.1", "for Elixir 1.0.9 1.1;"),
    ],
)
def test_a_version_is_a_beginning_a_list_or_a_word(source: LabEnvironment, asked: str, refused: str) -> None:
    write_source(source, ".tool-versions", f"{asked}\n")
    source.commit("versions")

    # With nothing kept it would be built: what is asked for is looked at before that.
    done = source.fab("build-on-host", expect=3 if refused else 0)

    assert f".tool-versions asks {refused}" in done.stderr if refused else "hello" in done.stderr
