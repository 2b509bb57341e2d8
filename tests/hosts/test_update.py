"""An update of Warpbeam: hosts that the version before set up are converged by this one, and lose nothing."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.stage import PROJECT, Stage

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


def by(tree: Path, stage: Stage, *words: str) -> str:
    """Run `fab` of the version in `tree` on the stage's hosts; return what it printed on standard output."""
    done = subprocess.run(
        stage.argv(*words), cwd=tree, env=stage.environ, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def programs(stage: Stage, host: str) -> set[str]:
    """The names of root's programs for the app on `host`."""
    return set(stage.lab.ssh(host, f"ls {PROGRAMS}").stdout.split())


def test_setup_of_this_version_converges_hosts_of_the_version_before(stage: Stage, earlier: Path) -> None:
    # The version before is set up as if this one had never been here.
    for host in ("web1", "web2"):
        stage.lab.ssh(host, f"sudo rm -r /etc/sudoers.d/warpbeam-hello {PROGRAMS}")
    by(earlier, stage, "setup", "--restart")
    stage.version("6.1.0")
    by(earlier, stage, "deploy")
    before = {row["host"]: row["pid"] for row in json.loads(by(earlier, stage, "status", "--json"))}
    assert {"door", "dumps"} <= programs(stage, "web1")

    refused = stage.fab("deploy", "--force", expect=3)
    assert "`fab stage setup`" in refused.stderr
    done = stage.fab("setup")

    # What runs goes on, and a restart is announced.
    after = stage.status()
    assert {name: row["pid"] for name, row in after.items()} == before
    assert "setup --restart" in done.stderr
    assert {row["health"] for row in after.values()} == {"healthy"}
    for host in ("web1", "web2"):
        assert programs(stage, host) == {"environment", "launch", "maintenance", "warpbeam-helper"}
    assert "changing" not in stage.fab("setup", "--check").stderr

    # It says neither its kind nor its name.
    assert stage.lab.ssh("web1", "ls /opt/acme/hello/current/.warpbeam/runtime", "deploy", check=False).returncode != 0
    # Everything that a release of the version before is asked for works: a console, a deploy, and the way back to it.
    assert stage.fab("rpc", "1 + 1").stdout.strip() == "2"
    stage.version("6.2.0")
    stage.fab("deploy")
    assert {row["version"] for row in stage.status().values()} == {"6.2.0"}
    stage.fab("rollback")
    assert {row["version"] for row in stage.status().values()} == {"6.1.0"}
