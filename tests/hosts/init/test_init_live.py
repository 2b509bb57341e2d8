"""From `git clone` to live: an app's repository, the wheel, `warpbeam-init`, and nothing by hand but addresses."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.environment import ENV_SH, PROJECT, VM_ARGS
from tests.hosts.cli.test_wheel import venv  # noqa: F401 (a fixture)
from tests.hosts.conftest import raised
from tests.lab import LabHandle
from tests.npm import lock, package, put_npm
from tests.timeouts import ANSWER, COMMAND
from warpbeam.lab.state import SUITES, HostSpec, Suite

# Hosts that no other test uses: a user's own hosts are as fresh.
BUILD, WEB = "build8", "web8"
# The directory of ssh in a person's home, put over the caller's for one command: ssh looks for it where passwd says.
AS_PERSON = 'mkdir -p -m 700 "$1" && mount --bind "$2" "$1" && shift 2 && exec "$@"'
LEAF = """
defmodule Leaf.MixProject do
  use Mix.Project
  def project, do: [app: :leaf, version: "1.0.0"]
end
"""
MAKE_LEAF = r"""
set -e
rm -rf /srv/leaf.git && mkdir -p /srv/leaf.git/lib && cd /srv/leaf.git
cat >mix.exs
printf 'defmodule Leaf do\n  def color, do: :green\nend\n' >lib/leaf.ex
git init -q . && git add -A && git -c user.name=T -c user.email=t@localhost commit -q -m leaf
git config --system --replace-all safe.directory '*'
git rev-parse HEAD
"""
SECRET = '\nSystem.get_env("SECRET_KEY_BASE") || raise "SECRET_KEY_BASE is missing"\n'

SHOUT = package("shout", "module.exports = text => text.toUpperCase()\n")
BUILD_JS = """
const fs = require("fs"), shout = require("shout")
fs.mkdirSync("../priv/static", {recursive: true})
fs.writeFileSync("../priv/static/app.js", shout("made by node"))
"""


def add_assets(app: Path) -> None:
    """Give an app assets: a package that lies in the repository, and an alias that makes a file with it."""
    assets = app / "assets"
    (assets / "vendor").mkdir(parents=True)
    (assets / "vendor" / "shout-1.0.0.tgz").write_bytes(SHOUT)
    wanted = {"shout": "file:vendor/shout-1.0.0.tgz"}
    (assets / "package.json").write_text(json.dumps({"name": "app", "dependencies": wanted}))
    (assets / "package-lock.json").write_text(lock(wanted, {"shout": (wanted["shout"], SHOUT)}))
    (assets / "build.js").write_text(BUILD_JS)
    mix = app / "mix.exs"
    alias = 'aliases: ["assets.deploy": ["cmd --cd assets node build.js"], '
    mix.write_text(mix.read_text().replace("aliases: [", alias))


class Person:
    """A person on this machine, with the wheel and ssh's settings for the hosts; `clone` is where they work."""

    def __init__(self, venv: Path, lab: LabHandle, directory: Path) -> None:  # noqa: F811
        self.venv = venv
        self.clone = directory / "hello"
        self.ssh = directory / "ssh"
        self.ssh.mkdir(mode=0o700)
        for source, name in ((lab.ssh_config, "config"), (lab.key, "id_ed25519")):
            shutil.copy(source, self.ssh / name)
        shutil.copy(f"{lab.key}.pub", self.ssh / "id_ed25519.pub")

    def run(self, program: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the wheel in the clone; fails the test where that fails."""
        names = ("PYTHON", "WARPBEAM_", "FABRIC_")
        clean = {name: text for name, text in os.environ.items() if not name.startswith(names)}
        home = pwd.getpwuid(os.getuid()).pw_dir
        done = subprocess.run(
            [
                *("unshare", "--mount", "sh", "-c", AS_PERSON, "sh", f"{home}/.ssh", str(self.ssh)),
                *(str(self.venv / "bin" / program), *words),
            ],
            cwd=self.clone,
            env={**clean, "HOME": home, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def git(self, *words: str) -> None:
        """Run git in the clone."""
        identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", self.clone, *identity, *words], check=True)


@pytest.fixture
def person(suite: Suite, labs: dict[Suite, LabHandle], venv: Path, tmp_path: Path) -> Person:  # noqa: F811
    """A person who has cloned an app with assets, a git dependency, a migration and a secret, and fresh hosts."""
    lab = raised(labs, suite, HostSpec(BUILD, "build"), HostSpec(WEB))
    person = Person(venv, lab, tmp_path)
    origin = tmp_path / "origin"
    shutil.copytree(PROJECT / "examples" / "hello", origin, ignore=shutil.ignore_patterns("_build", "deps"))
    if suite != SUITES[0]:
        # It names what Debian 12 has.
        (origin / ".tool-versions").unlink()
    leaf = lab.ssh(BUILD, f"sudo bash -c '{MAKE_LEAF.replace(chr(39), chr(34))}'", stdin=LEAF).stdout.strip()
    mix = (origin / "mix.exs").read_text()
    (origin / "mix.exs").write_text(mix.replace("deps: []", 'deps: [{:leaf, git: "/srv/leaf.git"}]'))
    (origin / "mix.lock").write_text(f'%{{\n  "leaf": {{:git, "/srv/leaf.git", "{leaf}", []}},\n}}\n')
    add_assets(origin)
    put_npm(lab, BUILD)
    with (origin / "config" / "runtime.exs").open("a") as runtime:
        runtime.write(SECRET)
    (origin / "rel").mkdir()
    for name, text in (("vm.args.eex", VM_ARGS), ("remote.vm.args.eex", VM_ARGS), ("env.sh.eex", ENV_SH)):
        (origin / "rel" / name).write_text(text)
    subprocess.run(["git", "init", "-q", origin], check=True)
    person.clone = origin
    person.git("add", "--all")
    person.git("commit", "-q", "-m", "the app")
    person.clone = tmp_path / "hello"
    subprocess.run(["git", "clone", "-q", origin, person.clone], check=True)
    return person


def test_an_app_goes_from_git_clone_to_live_by_init_setup_and_deploy(
    suite: Suite, labs: dict[Suite, LabHandle], person: Person
) -> None:
    said = person.run("warpbeam-init", "--yes").stderr
    inventory = person.clone / "inventory" / "production.yml"
    text = inventory.read_text()
    for placeholder, host in (("192.0.2.5", BUILD), ("192.0.2.10", WEB)):
        assert placeholder in text
        text = text.replace(placeholder, labs[suite].address(host))
    inventory.write_text(text)
    (words,) = re.findall(r"git add (.+) && git commit", said)
    person.git("add", *words.split())
    person.git("commit", "-q", "-m", "deployed by Warpbeam")

    deployed = person.run("fab", "production", "setup", "deploy", HELLO_SECRET_KEY_BASE="sixty-four letters")
    assert "web1: migrate" in deployed.stderr

    with urllib.request.urlopen(f"http://{labs[suite].address(WEB)}/", timeout=ANSWER) as answer:
        assert json.loads(answer.read())["app"] == "hello"
    asked = "{Leaf.color(), Enum.map(Hello.Release.migrations(), &elem(&1, 2)), System.get_env(~s(SECRET_KEY_BASE))}"
    assert person.run("fab", "production", "rpc", asked).stdout.strip() == (
        '{:green, [:applied, :applied], "sixty-four letters"}'
    )
    made = "File.read!(Application.app_dir(:hello, ~s(priv/static/app.js)))"
    assert person.run("fab", "production", "rpc", made).stdout.strip() == '"MADE BY NODE"'
    # Nothing that a deploy leaves in the repository is in git's way.
    assert subprocess.check_output(["git", "-C", person.clone, "status", "--porcelain"]) == b""
    again = person.run("fab", "init", "--yes")
    assert "nothing to write: every file is there" in again.stderr
    assert "in place of" not in again.stderr
