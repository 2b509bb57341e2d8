"""An update of Warpbeam: hosts that the version before set up are converged by this one, and lose nothing."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.environment import PROJECT, LabEnvironment

# The last commit before packages were named for users' nouns and the root-owned program became the privileged helper.
BEFORE = "acde354"
PROGRAMS = "/usr/lib/warpbeam/hello"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the version before."""
    directory = tmp_path_factory.mktemp("before")
    # Root may run the tests in another user's clone.
    command = ["git", "-C", str(PROJECT), "-c", "safe.directory=*", "archive", BEFORE]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 and (PROJECT / ".git" / "shallow").exists():
        pytest.skip("a shallow clone has no earlier version: git fetch --unshallow")
    assert done.returncode == 0, done.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tree:
        tree.extractall(directory, filter="data")
    return directory


def by(tree: Path, environment: LabEnvironment, *words: str) -> str:
    """Run `fab` of the version in `tree` on the environment's hosts; return what it printed on standard output."""
    done = subprocess.run(
        environment.argv(*words),
        cwd=tree,
        env=environment.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def programs(environment: LabEnvironment, host: str) -> set[str]:
    """The names of root's programs for the app on `host`."""
    return set(environment.lab.ssh(host, f"ls {PROGRAMS}").stdout.split())


def test_setup_of_this_version_converges_hosts_of_the_version_before(
    environment: LabEnvironment, earlier: Path
) -> None:
    # The version before is set up as if this one had never been here.
    for host in ("web1", "web2"):
        environment.lab.ssh(host, f"sudo rm -r /etc/sudoers.d/warpbeam-hello {PROGRAMS}")
    # It cannot put a release of this one live again, whose digest has more in it.
    by(earlier, environment, "setup")
    environment.version("6.1.0")
    by(earlier, environment, "deploy")
    before = {row["host"]: row["pid"] for row in json.loads(by(earlier, environment, "status", "--json"))}
    assert {"door", "dumps"} <= programs(environment, "web1")

    refused = environment.fab("deploy", "--force", expect=3)
    assert "`fab stage setup`" in refused.stderr
    done = environment.fab("setup")

    # The running instance goes on, and a restart is announced.
    after = environment.status()
    assert {name: row["pid"] for name, row in after.items()} == before
    assert "setup --restart" in done.stderr
    assert {row["health"] for row in after.values()} == {"healthy"}
    for host in ("web1", "web2"):
        assert programs(environment, host) == {"environment", "launch", "maintenance", "warpbeam-helper"}
    assert "changing" not in environment.fab("setup", "--check").stderr

    # It says neither its kind nor its name.
    asked = environment.lab.ssh("web1", "ls /opt/acme/hello/current/.warpbeam/runtime", "deploy", check=False)
    assert asked.returncode != 0
    # Everything that a release of the version before is asked for works: a console, a deploy, and the way back to it.
    assert environment.fab("rpc", "1 + 1").stdout.strip() == "2"
    environment.version("6.2.0")
    environment.fab("deploy")
    assert {row["version"] for row in environment.status().values()} == {"6.2.0"}
    environment.fab("rollback")
    assert {row["version"] for row in environment.status().values()} == {"6.1.0"}
