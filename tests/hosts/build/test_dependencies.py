"""The needs of a build beside its source: included paths, git submodules, files of Git LFS, dependencies, caches."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.background import eventually
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


HOME = "/home/admin"
LEAF = f"ssh://admin@127.0.0.1{HOME}/leaf.git"


@pytest.fixture
def app(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment; the commits of a test are gone after it."""
    head = environment.git("rev-parse", "HEAD")
    yield environment
    environment.write()
    environment.git("reset", "-q", "--hard", head)


@pytest.fixture
def key(app: LabEnvironment, tmp_path: Path) -> Iterator[Path]:
    """A key with which a git server, here the build host's admin, lets a build fetch a dependency of the app."""
    file = tmp_path / "leaf_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "leaf", "-f", file], check=True)
    authorized = f"{HOME}/.ssh/authorized_keys"
    saved = f"cp -p {authorized} {authorized}.before && cat >>{authorized}"
    app.lab.ssh("build1", saved, stdin=Path(f"{file}.pub").read_text())
    made = "rm -rf leaf leaf.git && mkdir leaf && cd leaf && cat >mix.exs && git init -q . && git add -A"
    made += " && git -c user.name=T -c user.email=t@localhost commit -q -m leaf"
    made += " && git clone -q --bare . ../leaf.git && git rev-parse HEAD"
    commit = app.lab.ssh("build1", made, stdin=DEPENDENCY % {"app": "leaf", "module": "Leaf"}).stdout.strip()
    mix = app.source / "mix.exs"
    mix.write_text(mix.read_text().replace("deps: []", f'deps: [{{:leaf, git: "{LEAF}"}}]'))
    (app.source / "mix.lock").write_text(f'%{{\n  "leaf": {{:git, "{LEAF}", "{commit}", []}},\n}}\n')
    app.git("add", "--force", "mix.lock")
    app.commit("a dependency of a private repository")
    yield file
    app.lab.ssh("build1", f"mv {authorized}.before {authorized}")


@pytest.fixture
def agent(tmp_path: Path, key: Path) -> Iterator[dict[str, str]]:
    """The variables of an ssh agent that holds the key."""
    socket = str(tmp_path / "agent")
    variables = {"SSH_AUTH_SOCK": socket}
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as running:
        assert eventually(lambda: Path(socket).exists())
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, **variables}, check=True)
        yield variables
        running.terminate()


def test_a_git_dependency_is_fetched_by_a_forwarded_agent_or_a_deploy_key(
    app: LabEnvironment, key: Path, agent: dict[str, str]
) -> None:
    trusting = {"env": {"GIT_SSH_COMMAND": "ssh -o StrictHostKeyChecking=accept-new"}}
    app.write(build=trusting)
    failed = app.fab("build-on-host", expect=4, variables=agent)
    assert "Permission denied (publickey" in failed.stderr
    assert "build.deploy_key" in failed.stderr

    # The connection of the build has the agent, and no other: a hook on the build host runs over the usual one.
    hook = {"build": {"before": [{"run": "echo agent: ${SSH_AUTH_SOCK-none}", "on": "hosts"}]}}
    app.write(build={**trusting, "forward_agent": True}, hooks=hook)
    built = app.fab("build-on-host", variables=agent)
    assert "agent: none" in built.stderr
    assert "lib/leaf-1.0.0/ebin/leaf.app" in [item.path for item in last_manifest(app).files]
    without = app.fab("build-on-host", "--rebuild", expect=3, variables={"SSH_AUTH_SOCK": ""})
    assert "no ssh agent on this machine" in without.stderr

    app.write(build={**trusting, "secrets": {"LEAF_KEY": {"file": str(key)}}, "deploy_key": "LEAF_KEY"})
    cleaned = app.fab("build-on-host", "--clean", "--rebuild")
    assert "MB of earlier builds" in cleaned.stderr
    assert "* Getting leaf" in cleaned.stderr
    left = "pgrep -u deploy ssh-agent; grep -rl 'PRIVATE KEY' /opt/acme/hello/build /dev/shm ~/.ssh; true"
    assert app.lab.ssh("build1", left, "deploy").stdout == ""
    key.write_text("no key\n")
    app.fab("build-on-host")
    refused = app.fab("build-on-host", "--rebuild", expect=4)
    assert "build.deploy_key is no private key that ssh-add accepts" in refused.stderr


# Shows what Hex would read, and leaves a cache as Hex does.
SHOW = """fn _ ->
  for name <- ~w(HEX_MIRROR HEX_OFFLINE HEX_UNSAFE_REGISTRY), do: IO.puts("#{name}=#{System.get_env(name)}")
  home = System.fetch_env!("HEX_HOME")
  {:ok, config} = :file.consult(Path.join(home, "hex.config"))
  repos = config[:"$repos"]
  IO.inspect(Map.keys(repos))
  IO.inspect(repos["acme"].url)
  IO.inspect(:erlang.crc32(repos["hexpm:corp"].auth_key))
  IO.inspect(repos["acme"].public_key =~ "BEGIN PUBLIC KEY")
  IO.inspect(repos["old"])
  File.write!(Path.join(home, "cache.ets"), "registry")
end"""


def test_hex_gets_what_the_inventory_says_and_no_key_stays(app: LabEnvironment, tmp_path: Path) -> None:
    """Hex itself is not here; the build shows what Hex would read."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    mix = app.source / "mix.exs"
    mix.write_text(mix.read_text().replace("aliases: [", f'aliases: ["deps.get": [{SHOW}, "deps.get"], '))
    app.commit("shows what Hex would read")
    old = """{'$repos',#{<<"old">> => #{url => <<"http://old">>}}}."""
    app.lab.ssh("build1", "mkdir -p ~/.hex && cat >~/.hex/hex.config", "deploy", stdin=old)
    hexes = {
        "mirror": "http://mirror.example",
        "offline": True,
        "unsafe_registry": True,
        "public_keys": {"acme": str(public)},
        "organizations": {"corp": "CORP"},
        "repositories": {"acme": {"url": "http://packages.example", "key": "CORP"}},
    }
    secrets = {"CORP": {"env": "CORP_KEY"}}
    app.write(build={"hex": hexes, "secrets": secrets})
    # Other programs of the host may have files in memory, such as Podman's locks.
    in_memory = app.lab.ssh("build1", "ls /dev/shm", "deploy").stdout
    try:
        built = app.fab("build-on-host", "--rebuild", variables={"CORP_KEY": "s3cr3t-key"})
        refused = app.fab("build-on-host", "--rebuild", expect=2)
        kept = app.lab.ssh("build1", "cat ~/.hex/hex.config ~/.hex/cache.ets; ls /dev/shm", "deploy").stdout
    finally:
        app.lab.ssh("build1", "rm -rf ~/.hex", "deploy")

    for line in ("HEX_MIRROR=http://mirror.example", "HEX_OFFLINE=1", "HEX_UNSAFE_REGISTRY=1"):
        assert line in built.stderr
    assert '["acme", "hexpm:corp", "old"]' in built.stderr
    assert '"http://packages.example"' in built.stderr
    assert str(zlib.crc32(b"s3cr3t-key")) in built.stderr
    assert '%{url: "http://old"}' in built.stderr
    assert "s3cr3t" not in built.stdout + built.stderr
    assert "build.secrets.CORP: the environment variable CORP_KEY is not set" in refused.stderr
    assert kept == f"{old}registry{in_memory}"
    found = "grep -rl s3cr3t /opt/acme/hello ~ /dev/shm /tmp 2>/dev/null; true"
    assert app.lab.ssh("build1", found, "deploy").stdout == ""
    assert not [file for file in app.store.directory.iterdir() if b"s3cr3t" in file.read_bytes()]
