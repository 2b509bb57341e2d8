"""docs/architecture.md names files that there are, and its list of a deploy leads from the task to systemd."""

from __future__ import annotations

import re
from pathlib import Path

from tests.file_index import HEADING, index

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "architecture.md").read_text()
# A deploy must be followed in so many files (issue: a reader opened 40).
MOST_FILES = 12


def files_of_a_deploy() -> list[Path]:
    """The files that the page lists, in order."""
    section = PAGE.split("## A deploy, file by file\n")[1].split("\n## ")[0]
    return [PROJECT / name for name in re.findall(r"^[0-9]+\. `([^`]+)`", section, re.MULTILINE)]


def names_of(file: Path) -> tuple[str, ...]:
    """The words by which another file uses `file`: its module or its script."""
    if file.parent.name == "helper":
        # The job asks the helper for a verb, or a phase does, through sudo.
        return (f"call_helper {file.stem} ", f'"$helper" {file.stem} ')
    if file.suffix == ".sh":
        relative = file.relative_to(PROJECT / "warpbeam").with_suffix("")
        return (f'"{relative}"',)
    return (
        ".".join(file.relative_to(PROJECT).with_suffix("").parts),
        f"from warpbeam.{file.parent.name} import {file.stem}",
    )


def test_a_deploy_is_followed_in_few_files_each_of_which_leads_to_the_next() -> None:
    files = files_of_a_deploy()

    assert 0 < len(files) <= MOST_FILES
    assert files[0] == PROJECT / "tasks" / "deploy.py"
    for number, file in enumerate(files[1:], 1):
        # The deploy and the rollout each lead to several of the files after them.
        before = [earlier.read_text() for earlier in files[:number]]
        assert any(name in text for name in names_of(file) for text in before), file
    assert 'systemctl start -- "$app@$slot.service"' in files[-1].read_text()


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:warpbeam|tasks|templates|tests|script|docs|bench)/[\w./-]+\.\w+)`", PAGE)

    assert len(named) > 30
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_the_page_says_what_every_file_holds() -> None:
    said = PAGE.partition(HEADING)[2]

    assert HEADING + said == index(), "run `python -m tests.file_index`"
    assert re.findall(r"^\| `[^`]+` \| *\|$", said, re.MULTILINE) == []


def test_every_package_is_in_the_tree_of_the_page() -> None:
    tree = PAGE.split("## The tree\n")[1].split("```")[1]
    packages = [package.name for package in (PROJECT / "warpbeam").iterdir() if (package / "__init__.py").exists()]

    assert [name for name in packages if f"\n  {name}/" not in tree] == []


def test_tests_are_in_the_folders_of_the_packages() -> None:
    packages = {package.parent.name for package in (PROJECT / "warpbeam").glob("*/__init__.py")}
    unit = {file.parent.name for file in (PROJECT / "tests" / "unit").rglob("test_*.py")} - {"unit"}
    hosts = {file.parent.name for file in (PROJECT / "tests" / "hosts").rglob("test_*.py")}

    assert unit <= packages
    assert hosts <= packages | {"attacks"}
