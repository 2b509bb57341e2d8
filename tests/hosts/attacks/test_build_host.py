"""Files that a removed deploy key leaves behind on a build host: no later build runs them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import LabEnvironment
from tests.lab import LabHandle
from warpbeam.lab.client import ssh_argv

BUILD = "build1"
# Whatever of it runs, or is read by what runs, leaves a mark.
MARK = "/home/deploy/.local/planted"
RUN = f"echo $0 >>{MARK}"
PLANT = f"""
set -e
mkdir -p ~/.local/bin ~/.mix/elixir ~/.mix/archives ~/.config/git ~/.config/erlang ~/.hex ~/.cache ~/.ssh ~/.asdf/shims
erlang='os:cmd("echo erlang >>{MARK}").'
echo "$erlang" >~/.erlang
echo "$erlang" >~/.config/erlang/.erlang
printf '[core]\\n  fsmonitor = "{RUN}; false"\\n[alias]\\n  x = y\\n' >~/.gitconfig
cp ~/.gitconfig ~/.config/git/config
cp ~/.bashrc ~/.bashrc.kept
(echo '{RUN}'; cat ~/.bashrc.kept) >~/.bashrc
echo '{RUN}' >~/.bash_profile
echo 'Host *' >~/.ssh/config
echo 'elixir path:/home/deploy/evil' >~/.tool-versions
printf 'x\\n' >"$HOME/a name of its own"
touch ~/.npmrc ~/.hex/hex.config ~/.mix/planted
cd /opt/acme/hello/build
beam=$(find src/_build/prod/lib/hello/ebin -name Elixir.Hello.Router.beam)
test -n "$beam"
cp "$(dirname "$beam")/Elixir.Hello.Body.beam" "$beam"
mkdir -p src/deps/planted
echo planted >src/deps/planted/mix.exs
"""


@pytest.fixture
def cleaned(environment: LabEnvironment) -> Iterator[LabHandle]:
    """The lab; in the end its build host is as it was."""
    yield environment.lab
    environment.lab.ssh(
        BUILD, "sudo rm -rf /home/deploy/.asdf /home/deploy/.local; sudo usermod --expiredate '' deploy"
    )
    environment.lab.ssh(
        BUILD, "sudo bash -c 'cp -n /etc/skel/.bashrc /home/deploy/ && chown deploy: /home/deploy/.bashrc'"
    )
    environment.write()
    environment.fab("setup")


def test_what_was_planted_on_a_build_host_does_not_come_back(
    environment: LabEnvironment, cleaned: LabHandle, tmp_path: Path
) -> None:
    lab = cleaned
    # Nobody has built that yet, also in a lab that was kept.
    (environment.source / "priv" / "stamp").write_text(str(time.time_ns()))
    environment.version("1.7.1")
    environment.fab("build-on-host")
    stolen = tmp_path / "stolen"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stolen], check=True)
    public = stolen.with_suffix(".pub").read_text().strip()
    environment.write(deploy_keys=[*environment.settings["deploy_keys"], public])
    environment.fab("-H", BUILD, "setup")
    login = (*ssh_argv(lab.name, BUILD)[:-1], "-l", "deploy", "-o", "BatchMode=yes", "-i", str(stolen), BUILD)
    subprocess.run([*login, "bash -s"], input=PLANT, text=True, check=True, timeout=60, capture_output=True)
    # It does run as long as it is there.
    lab.ssh(BUILD, "elixir -e 1", "deploy")
    ran = lab.ssh(BUILD, f"cat {MARK}", "deploy").stdout
    assert "bash" in ran
    assert "erlang" in ran
    environment.write()

    done = environment.fab("-H", BUILD, "setup")
    lab.ssh(BUILD, f"sudo rm -f {MARK}")
    (environment.source / "priv" / "stamp").write_text(str(time.time_ns()))
    environment.version("1.7.2")
    environment.fab("deploy")

    assert "deploy key removed" in done.stderr
    (moved,) = [line for line in done.stderr.splitlines() if "the next build would have gone by" in line]
    for name in (
        ".erlang",
        ".gitconfig",
        ".config",
        ".mix",
        ".hex",
        ".npmrc",
        ".tool-versions",
        ".bashrc",
        ".ssh/config",
    ):
        assert f"'{name}'" in moved
    assert "'a name of its own'" in moved
    (named,) = [line for line in done.stderr.splitlines() if "builds run programs in" in line]
    assert "'.asdf'" in named
    assert "'.local'" in named
    assert "users.deploy" in named
    assert lab.ssh(BUILD, f"cat {MARK}", check=False).stdout == ""
    assert lab.ssh(BUILD, "sudo find /home/deploy /opt/acme/hello/build -name '*planted*'").stdout == ""
    assert environment.served("web1")["version"] == "1.7.2"
    where = moved.split(" is in ")[1].split(" now")[0]
    assert lab.ssh(BUILD, f"sudo stat -c '%U %a' {where}").stdout == "root 700\n"
