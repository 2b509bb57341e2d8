"""The version of Warpbeam: one number, everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from warpbeam.version import VERSION, is_accepted

PROJECT = Path(__file__).parents[2]


def test_the_project_file_and_the_changelog_have_this_version() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    changes = (PROJECT / "CHANGELOG.md").read_text()

    assert project["version"] == VERSION
    assert re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changes, re.MULTILINE)[0] == VERSION


@pytest.mark.parametrize(
    ("requirement", "accepted"),
    [(">=0.2", True), (">=0.1,<1", True), (f"=={VERSION}", True), ("<0.2", False), (">=99", False), ("~=0.1.0", False)],
)
def test_an_inventory_accepts_versions_as_pip_would(requirement: str, accepted: bool) -> None:
    assert is_accepted(requirement) is accepted
