"""Warpbeam as a package: an app's own repository deploys with a wheel, a short fabfile and tasks of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.assertions import assert_serves, commit_another_version
from tests.environment import PROJECT, UV, LabEnvironment
from tests.timeouts import COMMAND

# The page's own examples: the fabfile, and a task of one's own.
FABFILE, OWN_TASK = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "package.md").read_text(), re.DOTALL)


def uv(*arguments: str) -> None:
    """Run uv, and say what it said where it fails."""
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with what requirements.txt locks, and the wheel."""
    directory = tmp_path_factory.mktemp("package")
    # With the tools that are locked, not with the newest ones.
    uv("build", "--quiet", "--wheel", "--no-build-isolation", f"--python={sys.executable}", f"--out-dir={directory}")
    uv("venv", "--quiet", f"--python={sys.executable}", str(directory / "venv"))
    python = f"--python={directory / 'venv/bin/python'}"
    uv("pip", "sync", "--quiet", "--require-hashes", python, "requirements.txt")
    (wheel,) = directory.glob("*.whl")
    uv("pip", "install", "--quiet", "--no-deps", python, str(wheel))
    return directory / "venv"


@pytest.fixture
def repository(environment: LabEnvironment, tmp_path: Path) -> Path:
    """An app's repository with an inventory of the environment's hosts."""
    (tmp_path / "fabfile.py").write_text(FABFILE)
    shutil.copy(PROJECT / "fabric.yaml", tmp_path)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "stage.yml").write_text(json.dumps(environment.settings))
    return tmp_path


def fab(venv: Path, repository: Path, *words: str) -> str:
    """Run `fab` of that environment in the repository; what it printed on standard output."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WARPBEAM_", "FABRIC_"))
    }
    done = subprocess.run(
        [venv / "bin" / "fab", *words],
        cwd=repository,
        env=clean,
        capture_output=True,
        text=True,
        timeout=COMMAND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_apps_repository_sets_up_and_deploys_with_the_wheel(
    environment: LabEnvironment, venv: Path, repository: Path
) -> None:
    (packages,) = venv.glob("lib/python*/site-packages")
    assert not [name for name in ("tasks", "templates", "fabfile.py") if (packages / name).exists()]
    version = commit_another_version(environment)

    fab(venv, repository, "stage", "setup", "deploy")

    assert_serves(environment, version)
    assert (repository / ".warpbeam" / "artifacts" / "acme-hello").is_dir()


def test_an_apps_own_task_stands_beside_warpbeams(environment: LabEnvironment, venv: Path, repository: Path) -> None:
    with (repository / "fabfile.py").open("a") as fabfile:
        fabfile.write(OWN_TASK)
    version = commit_another_version(environment)

    assert "  ship" in fab(venv, repository, "--list")
    shown = fab(venv, repository, "stage", "ship")

    assert_serves(environment, version)
    assert version in shown
