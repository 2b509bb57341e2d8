"""asdf of both kinds: its programs are stood in for by one that has the same commands and leaves the same files.

docs/toolchains.md says what was tried with asdf itself, which no package registry of CI has.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.build_environment import last_manifest, write_source
from tests.environment import LabEnvironment
from tests.tool_plugins import OTHER_ELIXIR, OTHER_ERLANG, PLUGINS, as_deploy, put, put_plugins, system_versions

# A plugin is a copy of a directory; an installation makes the directory first, and takes one that is there for done.
ASDF = f"""#!/bin/bash
set -euo pipefail
data=${{ASDF_DATA_DIR:-$HOME/.asdf}}
case $1 in
  plugin) mkdir -p "$data/plugins" && cp -r "{PLUGINS}/$3" "$data/plugins/$3" ;;
  latest) "$data/plugins/$2/bin/list-all" | tr ' ' '\\n' | grep "^${{3-}}" | tail -n 1 ;;
  install)
    export ASDF_INSTALL_TYPE=version ASDF_INSTALL_VERSION=$3 ASDF_INSTALL_PATH=$data/installs/$2/$3
    [[ -d $data/plugins/$2 ]] || {{ echo "No such plugin: $2"; exit 1; }}
    if [[ -d $ASDF_INSTALL_PATH ]]; then echo "$2 $3 is already installed"; exit 0; fi
    mkdir -p "$ASDF_INSTALL_PATH"
    "$data/plugins/$2/bin/install"
    ;;
esac
"""
# Where each kind of asdf has its program. Neither is on the PATH of a login that is not interactive.
PLACES = {"up to 0.15": "/home/deploy/.asdf/bin/asdf", "since 0.16": "/home/deploy/go/bin/asdf"}


@pytest.fixture
def app(source: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment, which builds by asdf; its build host has the plugins to copy."""
    put_plugins(source)
    source.write(build={"tools": "asdf"})
    yield source
    as_deploy(source, "rm -rf .asdf go plugins")
    source.write()


@pytest.mark.parametrize("kind", PLACES)
def test_asdf_gets_its_plugins_and_the_versions_of_tool_versions(app: LabEnvironment, kind: str) -> None:
    put(app, PLACES[kind], ASDF)
    write_source(app, ".tool-versions", f"elixir {OTHER_ELIXIR}\nerlang {OTHER_ERLANG}\n")
    app.commit(f"versions for asdf {kind}")
    # A killed installation leaves this: the program is there, and the rest is not.
    half = f".asdf/installs/erlang/{OTHER_ERLANG}"
    as_deploy(
        app, f"mkdir -p {half}/bin && cp /bin/false {half}/bin/erl && touch .asdf/.warpbeam-erlang-{OTHER_ERLANG}"
    )

    built = app.fab("build-on-host", "--rebuild").stderr
    again = app.fab("build-on-host", "--rebuild").stderr

    steps = ["asdf plugin erlang", f"install erlang {OTHER_ERLANG}", "asdf plugin elixir"]
    places = [built.index(step) for step in (*steps, f"install elixir {OTHER_ELIXIR}", "compile")]
    assert places == sorted(places)
    assert (last_manifest(app).toolchain.elixir, last_manifest(app).toolchain.otp) == (OTHER_ELIXIR, OTHER_ERLANG)
    assert "install " not in again
    # Hex and rebar3 are kept beside each Elixir.
    assert as_deploy(app, f"ls -A .asdf/.warpbeam-erlang-{OTHER_ERLANG} 2>&1 || true").endswith(
        "No such file or directory\n"
    )


def test_setup_would_install_the_packages_that_an_erlang_needs_on_build_hosts(app: LabEnvironment) -> None:
    app.write(build={"install": True})

    planned = app.fab("setup", "--check", expect=None)

    said = planned.stdout + planned.stderr
    assert "package libncurses-dev installed" in said
    assert "ncurses-devel" not in said
    assert said.count("package libncurses-dev") == 1


def test_a_version_that_asdf_cannot_install_does_not_count_as_installed(app: LabEnvironment) -> None:
    elixir, _ = system_versions(app)
    put(app, PLACES["since 0.16"], ASDF)
    write_source(app, ".tool-versions", f"elixir {elixir}\nerlang path:/opt/none\n")
    app.commit("a path")
    assert "/opt/none on this build host is no erlang" in app.fab("build-on-host", expect=3).stderr
    write_source(app, ".tool-versions", f"elixir {elixir}\nerlang 25.6.6\n")
    app.commit("versions")

    for _ in range(2):
        failed = app.fab("build-on-host", expect=4).stderr
        assert "asdf could not install erlang 25.6.6" in failed
        assert "  | there is no Erlang 25.6.6 to download" in failed
    as_deploy(app, "rm go/bin/asdf")
    refused = app.fab("build-on-host", expect=3).stderr

    assert "deploy has no erlang 25.6.6, and no program asdf to install it" in refused
