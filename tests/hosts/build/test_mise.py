"""mise itself installs what a source asks for, and a build uses exactly that."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.background import await_end, eventually, running_fab
from tests.build_environment import last_manifest, write_source
from tests.environment import LabEnvironment
from tests.mise import mise_tarball
from tests.tool_plugins import OTHER_ELIXIR, OTHER_ERLANG, PLUGINS, SLOW, as_deploy, put, put_plugins, system_versions
from warpbeam.lab.client import ssh_argv

MISE = "/home/deploy/.local/bin/mise"
# mise's own Erlang and Elixir come from the network, which the lab does not have: the plugins take their place.
CONFIG = '[settings]\nuse_versions_host = false\ndisable_backends = ["core"]\n'
OTHERS = f"elixir {OTHER_ELIXIR}\nerlang {OTHER_ERLANG}\n"


def upload_mise(environment: LabEnvironment) -> None:
    """Put the program where mise's own installer puts it; no login has it on its PATH."""
    argv = (*ssh_argv(environment.lab.name, "build1")[:-1], "-l", "admin", "build1")
    unpack = f"mkdir -p ~/.local/bin && tar -xzO package/bin/mise >{MISE} && chmod 755 {MISE}"
    with mise_tarball().open("rb") as tarball:
        subprocess.run((*argv, f"sudo -iu deploy bash -c '{unpack}'"), stdin=tarball, check=True, timeout=60)


@pytest.fixture(scope="module")
def with_mise(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment, whose build host has mise and two plugins, and no version yet; gone in the end."""
    upload_mise(environment)
    put(environment, "/home/deploy/.config/mise/config.toml", CONFIG)
    put_plugins(environment)
    for tool in ("erlang", "elixir"):
        as_deploy(environment, f"{MISE} plugins link {tool} {PLUGINS}/{tool}")
    yield environment
    gone = ".local .config/mise .cache/mise plugins slow slow.begun"
    as_deploy(environment, f"chmod -R u+w .local; rm -rf {gone}")
    environment.write()


@pytest.fixture
def app(with_mise: LabEnvironment, source: LabEnvironment) -> LabEnvironment:
    """The environment, which builds by mise."""
    source.write(build={"tools": "mise"})
    return source


def commit_versions(app: LabEnvironment, text: str, name: str = ".tool-versions") -> None:
    """Commit what the source asks for."""
    write_source(app, name, text)
    app.commit("versions")


def test_versions_that_mise_has_not_are_installed_erlang_first_and_built_with(app: LabEnvironment) -> None:
    commit_versions(app, OTHERS)

    # Without `build.tools`: the system's versions do not fit, and mise is there.
    app.write()
    doctor = app.fab("doctor", "-H", "build1", expect=None).stdout
    built = app.fab("build-on-host", "--rebuild").stderr
    again = app.fab("build-on-host", "--rebuild").stderr
    after = app.fab("doctor", "-H", "build1", expect=None).stdout

    assert f"the next build installs erlang {OTHER_ERLANG}, elixir {OTHER_ELIXIR} by mise" in " ".join(doctor.split())
    assert built.index(f"install erlang {OTHER_ERLANG}") < built.index(f"install elixir {OTHER_ELIXIR}")
    assert built.index("install elixir") < built.index("compile")
    found = last_manifest(app)
    assert (found.toolchain.elixir, found.toolchain.otp) == (OTHER_ELIXIR, OTHER_ERLANG)
    paths = {item.path for item in found.files}
    assert any(path.startswith(f"lib/elixir-{OTHER_ELIXIR}/") for path in paths)
    assert f"erts-{found.erts}/bin/other" in paths
    assert "install " not in again
    assert f"Elixir {OTHER_ELIXIR}, Erlang/OTP {OTHER_ERLANG} (mise)" in " ".join(after.split())


def test_a_file_of_mise_decides_before_tool_versions_between_installed_versions(app: LabEnvironment) -> None:
    elixir, erlang = system_versions(app)
    commit_versions(app, OTHERS)
    app.fab("build-on-host")
    as_deploy(app, f"rm -rf .local/share/mise/installs/erlang/{erlang}")
    commit_versions(app, f'[tools]\nerlang = ["{erlang}"]\nelixir = {{ version = "prefix:{elixir}" }}\n', "mise.toml")

    first = app.fab("build-on-host", "--rebuild").stderr
    of_mise = last_manifest(app)
    app.git("rm", "-q", "mise.toml")
    app.commit("no mise.toml")
    back = app.fab("build-on-host").stderr

    assert f"install erlang {erlang}" in first
    assert (of_mise.toolchain.elixir, of_mise.toolchain.otp) == (elixir, erlang)
    assert not any(item.path.endswith("/bin/other") for item in of_mise.files)
    # The key knows both toolchains.
    assert "built already" in back


def test_a_version_that_cannot_be_installed_is_one_message_with_the_last_lines(app: LabEnvironment) -> None:
    commit_versions(app, f"elixir {OTHER_ELIXIR}\nerlang 25.6.6\n")

    failed = app.fab("build-on-host", expect=4).stderr

    assert "mise could not install erlang 25.6.6" in failed
    assert "there is no Erlang 25.6.6 to download" in failed.partition("error:")[0].partition("  | ")[2]
    assert "install elixir" not in failed
    assert "is it a version that mise knows?" in failed


# A Node.js that only says its version.
NODE = """#!/bin/bash
mkdir -p "$ASDF_INSTALL_PATH/bin" && cd "$ASDF_INSTALL_PATH/bin"
printf '#!/bin/sh\\necho v%s\\n' "$ASDF_INSTALL_VERSION" >node && chmod 755 node
"""


def test_node_is_installed_in_the_version_of_tool_versions_and_used_for_assets(app: LabEnvironment) -> None:
    put(app, f"{PLUGINS}/node/bin/install", NODE)
    put(app, f"{PLUGINS}/node/bin/list-all", "#!/bin/sh\necho 18.99.0 20.99.0\n")
    as_deploy(app, f"{MISE} plugins link node {PLUGINS}/node")
    commit_versions(app, "nodejs 20.99.0\n")
    app.write(build={"tools": "mise", "assets": ["node --version"]})

    built = app.fab("build-on-host").stderr
    doctor = app.fab("doctor", "-H", "build1", expect=None).stdout

    as_deploy(app, f"{MISE} plugins uninstall node; rm -rf {PLUGINS}/node")
    assert built.index("install node 20.99.0") < built.index("compile") < built.index("│ v20.99.0")
    assert last_manifest(app).toolchain.nodejs == "20.99.0"
    assert "Node.js 20.99.0" in " ".join(doctor.split())


def test_without_a_network_a_version_of_mises_own_is_one_message(app: LabEnvironment) -> None:
    put(app, "/home/deploy/.config/mise/config.toml", CONFIG.partition("disable_backends")[0])
    commit_versions(app, "nodejs 20.11.1\n")

    failed = app.fab("build-on-host", expect=4).stderr

    put(app, "/home/deploy/.config/mise/config.toml", CONFIG)
    assert "error: build1: mise could not install node 20.11.1\n  hint: can the build host reach what mise" in failed
    assert "  | " in failed.partition("error: build1")[0]


def test_an_installation_that_was_interrupted_is_done_again(app: LabEnvironment) -> None:
    as_deploy(app, f"{MISE} uninstall --all erlang >/dev/null 2>&1; rm -rf .local/share/mise/installs/erlang")
    commit_versions(app, OTHERS)
    as_deploy(app, f"touch {SLOW}")
    # An artifact that exists needs no tools.
    assert "install" not in app.fab("build-on-host").stderr
    with running_fab(app, "build-on-host", "--rebuild", until="install erlang") as process:
        assert eventually(lambda: bool(as_deploy(app, f"ls {SLOW}.begun 2>/dev/null || true")))
        process.send_signal(signal.SIGINT)
        await_end(process)
    left = as_deploy(app, f"ls .local/share/mise/installs/erlang/{OTHER_ERLANG}/bin")
    as_deploy(app, f"rm -f {SLOW}; pgrep -u deploy -f plugins/erlang || true")

    again = app.fab("build-on-host", "--rebuild").stderr

    # The program lies in its place, in an Erlang that is not whole.
    assert "erl" in left.split()
    assert f"install erlang {OTHER_ERLANG}" in again
    assert last_manifest(app).toolchain.otp == OTHER_ERLANG
