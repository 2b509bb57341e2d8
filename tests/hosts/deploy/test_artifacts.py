"""Artifacts that a CI runner builds and keeps in a store, and that another machine deploys without a build."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assertions import assert_serves
from tests.environment import ENVIRONMENT, LabEnvironment
from tests.recipes import commands_of
from tests.runner import send, send_project

# The runner is the lab's build host, which has Elixir; a user `ci` of it has nothing of Warpbeam's.
RUNNER = "build1"
HOME = "/srv/ci"
STORE = "/srv/artifacts"
URL = f"ssh://deploy@{RUNNER}{STORE}"

JOBS = ("build", "deploy")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bash(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run a script on the runner as its user, with `fab` on PATH and the source of the environment."""
    lab = environment.lab
    lab.ssh(RUNNER, f"sudo useradd --create-home ci; sudo mkdir -p {STORE}; sudo chown ci: {STORE}")
    send_project(lab, RUNNER, HOME, tmp_path_factory.mktemp("packages"))
    lab.ssh(RUNNER, f"sudo tee {HOME}/inventory/{ENVIRONMENT}.yml", stdin=json.dumps(inventory_of_runner(environment)))
    fab = f'#!/bin/sh\ncd {HOME}\nPYTHONPATH=packages exec python3 -m fabric "$@"\n'
    lab.ssh(RUNNER, f"sudo mkdir -p {HOME}/bin; sudo tee {HOME}/bin/fab; sudo chmod 755 {HOME}/bin/fab", stdin=fab)

    def run(script: str, variables: dict[str, str] | None = None, expect: int = 0) -> subprocess.CompletedProcess[str]:
        named = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (variables or {}).items())
        text = f"export PATH={HOME}/bin:$PATH\ncd {HOME}\n{named}{script}\n"
        done = lab.ssh(RUNNER, f"sudo chown -R ci: {HOME}; sudo -iu ci bash -eo pipefail -s", check=False, stdin=text)
        assert done.returncode == expect, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    yield run
    lab.ssh(RUNNER, f"sudo rm -rf {HOME} {STORE}; sudo userdel --remove ci; true")


def inventory_of_runner(environment: LabEnvironment) -> dict[str, Any]:
    """The inventory of the environment as the runner has it: without a build host, with a store."""
    hosts = {name: {"address": environment.lab.address(name)} for name in ("web1", "web2")}
    settings = {key: environment.settings[key] for key in ("org", "app", "health", "deploy", "env")}
    return {**settings, "hosts": hosts, "source": f"{HOME}/hello", "build": {"store": STORE}}


@pytest.fixture
def version(environment: LabEnvironment, bash: Run, request: pytest.FixtureRequest) -> str:
    """A version of the app that nobody has built; the runner has it as a checkout."""
    number = f"8.0.{abs(hash(request.node.name)) % 100_000}"
    environment.version(number)
    environment.lab.ssh(RUNNER, f"sudo rm -rf {HOME}/hello")
    send(environment.lab, RUNNER, ["."], environment.source, f"{HOME}/hello")
    return number


@pytest.fixture
def elsewhere(environment: LabEnvironment, tmp_path: Path) -> Iterator[Run]:
    """`fab` of a machine without a source, a build host or any artifact, which knows the store by ssh."""
    hosts = {name: host for name, host in environment.settings["hosts"].items() if name != RUNNER}
    environment.write(hosts=hosts, source=str(tmp_path / "no-source"), build={"store": URL})

    def run(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return environment.fab(*words, expect=expect, variables={"FABRIC_WARPBEAM_PROJECT": str(tmp_path)})

    yield run
    environment.write()


def digests(lab_or_directory: Any, *files: str) -> list[str]:
    """The checksums of files: on the runner, or in a directory of this machine."""
    if isinstance(lab_or_directory, Path):
        said = subprocess.run(["sha256sum", *files], cwd=lab_or_directory, capture_output=True, text=True, check=True)
        return [line.split()[0] for line in said.stdout.splitlines()]
    said = lab_or_directory.ssh(RUNNER, f"sudo sha256sum {' '.join(files)}")
    return [line.split()[0] for line in said.stdout.splitlines()]


def built(bash: Run, *words: str) -> dict[str, Any]:
    """Build on the runner and push; what it says about the artifact."""
    done = bash(f"fab {ENVIRONMENT} build-on-host --here --push --json {' '.join(words)}")
    (row,) = json.loads(done.stdout)
    assert isinstance(row, dict)
    return row


def test_what_a_runner_builds_is_deployed_elsewhere_byte_by_byte(
    environment: LabEnvironment, bash: Run, elsewhere: Run, version: str, tmp_path: Path
) -> None:
    row = built(bash)
    key = row["key"]

    done = elsewhere("deploy", "--artifact", key)

    assert_serves(environment, version)
    assert f"pulled {key}, hello {version}" in done.stderr
    kept = tmp_path / ".warpbeam" / "artifacts" / "acme-hello"
    there = digests(environment.lab, row["tarball"], row["manifest"])
    assert digests(kept, f"{key}.tar.gz", f"{key}.json") == there
    assert there[0] == row["sha256"]
    entry = json.loads(elsewhere("history", "--json").stdout)
    assert version in json.dumps(entry)
    # Kept now: neither the store nor the network is needed.
    again = elsewhere("deploy", "--artifact", key, "--force")
    assert f"from this machine: hello {version}" in again.stderr
    # Both know what is live there, and neither removes it.
    (listed,) = [each for each in json.loads(elsewhere("artifacts.list", "--json").stdout) if each["key"] == key]
    assert (listed["here"], listed["store"], listed["live"]) == (True, True, ["stage"])
    assert json.loads(elsewhere("artifacts.verify", "--json").stdout)[0]["state"] == "intact"
    assert json.loads(elsewhere("artifacts.prune", "--keep", "1", "--json").stdout) == []

    # The same as files that CI has kept, on a third machine.
    files = tmp_path / "downloaded"
    files.mkdir()
    for name in (f"{key}.json", f"{key}.tar.gz"):
        shutil.copy(kept / name, files)
    shutil.rmtree(kept)
    by_file = elsewhere("deploy", "--artifact", str(files / f"{key}.tar.gz"), "--force")
    assert f"kept as {key}" in by_file.stderr
    assert digests(kept, f"{key}.tar.gz", f"{key}.json") == there


def test_a_tampered_artifact_of_the_store_reaches_no_host(
    environment: LabEnvironment, bash: Run, elsewhere: Run, version: str
) -> None:
    row = built(bash)
    before = environment.status()
    name = f"{STORE}/acme-hello/{row['key']}-{row['sha256'][:16]}.tar.gz"
    bash(f"chmod u+w {name}; printf x | dd of={name} bs=1 seek=100 conv=notrunc status=none")

    done = elsewhere("deploy", "--artifact", row["key"], expect=3)

    assert (
        f"error: {row['key']} in the store {URL} is not what its manifest says: its checksum is another" in done.stderr
    )
    assert environment.status().keys() == before.keys()
    assert {host: each["release"] for host, each in environment.status().items()} == {
        host: each["release"] for host, each in before.items()
    }
    verified = elsewhere("artifacts.verify", "--store", "--json", expect=5)
    assert {each["key"]: each["state"] for each in json.loads(verified.stdout)}[row["key"]] == "changed"
    # A push of the true one mends it.
    bash(f"rm {name}; fab {ENVIRONMENT} artifacts.push {row['key']}")
    elsewhere("artifacts.pull", row["key"])
    assert version


def test_a_deploy_takes_from_the_store_what_this_machine_would_build(
    environment: LabEnvironment, bash: Run, version: str, tmp_path: Path
) -> None:
    row = built(bash)
    environment.write(build={"store": URL})
    try:
        done = environment.fab("deploy", variables={"FABRIC_WARPBEAM_PROJECT": str(tmp_path)})
        assert f"pulled {row['key']}, hello {version}" in done.stderr
        assert "compile" not in done.stderr
        assert_serves(environment, version)
        # A store that is out of reach keeps nobody from building.
        environment.write(build={"store": f"ssh://deploy@{RUNNER}/srv/missing"})
        beside = environment.fab("build-on-host", variables={"FABRIC_WARPBEAM_PROJECT": str(tmp_path / "new")})
        assert "/srv/missing is no directory there" in beside.stderr
        assert "built hello" in beside.stderr
    finally:
        environment.write()


def test_a_runner_builds_a_working_tree_and_refuses_what_makes_no_sense(
    bash: Run, elsewhere: Run, version: str
) -> None:
    bash(f"echo '# changed' >>{HOME}/hello/mix.exs")
    refused = bash(f"fab {ENVIRONMENT} build-on-host --here", expect=3)
    assert "mix.exs" in refused.stderr
    (row,) = json.loads(bash(f"fab {ENVIRONMENT} build-on-host --here --dirty --json").stdout)
    assert (row["dirty"], row["version"]) == (True, version)
    nothing = elsewhere("deploy", "--artifact", "0" * 20, expect=3)
    assert f"there is no artifact {'0' * 20}: this machine does not have it" in nothing.stderr
    assert "no artifact" in elsewhere("artifacts.push", "0" * 20, expect=3).stderr
    assert "KEY.json" in elsewhere("deploy", "--artifact", "nothing.json", expect=2).stderr
    both = elsewhere("deploy", "--artifact", "0" * 20, "--ref", "main", expect=2)
    assert "say two different things" in both.stderr


@pytest.mark.parametrize("recipe", ["github.yml", "gitlab.yml"])
def test_the_commands_of_a_recipe_build_push_and_deploy(
    recipe: str, environment: LabEnvironment, bash: Run, version: str
) -> None:
    lab = environment.lab
    hosts = environment.lab.ssh_config.parent / "known_hosts"
    key = lab.key.read_text().rstrip("\n")
    variables = {"GITHUB_OUTPUT": f"{HOME}/build.env", "KNOWN_HOSTS": hosts.read_text().rstrip("\n")}
    if recipe == "gitlab.yml":
        lab.ssh(RUNNER, f"sudo tee {HOME}/deploy-key", stdin=lab.key.read_text())
        variables["DEPLOY_KEY"] = variables["SIGNING_KEY"] = f"{HOME}/deploy-key"
    else:
        variables["DEPLOY_KEY"] = variables["SIGNING_KEY"] = key
    bash(f"rm -f {HOME}/build.env")

    build, deploy = (commands_of(recipe, job).replace("fab production", f"fab {ENVIRONMENT}") for job in JOBS)
    bash(build, variables)
    bash("ssh-keygen -yf ~/.ssh/release && rm ~/.ssh/release")
    key_line = bash(f"cat {HOME}/build.env").stdout.strip()
    # Another runner has nothing of the first but the key.
    bash(f"rm -rf {HOME}/.warpbeam {HOME}/hello")
    done = bash(deploy, {**variables, "KEY": key_line.partition("=")[2]})

    assert "pulled " in done.stderr
    assert_serves(environment, version)
