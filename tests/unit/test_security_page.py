"""The table of docs/security.md names the attack tests that prove it, each by the name of its file."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SECTION = re.compile(r"^## When one of them is hostile\n(.*?)^## ", re.MULTILINE | re.DOTALL)
ACTORS = (
    "operator",
    "build host",
    "store",
    "deploy key",
    "app host",
    "app",
    "other app",
    "local user",
    "network",
)


def section() -> str:
    """Return the section with the table."""
    found = SECTION.search((PROJECT / "docs" / "security.md").read_text())
    assert found is not None
    return found[1]


def test_the_table_names_every_attack_test_and_no_other() -> None:
    named = {name for names in re.findall(r"\[([a-z_, ]+)\]", section()) for name in names.split(", ")}
    files = (PROJECT / "tests" / "hosts" / "attacks").glob("test_*.py")

    assert named == {file.stem.removeprefix("test_") for file in files}


def test_every_actor_has_a_row_with_what_it_can_and_what_it_cannot() -> None:
    rows = {row.split("**")[1]: row for row in section().splitlines() if row.startswith("| **")}

    assert tuple(rows) == ACTORS
    assert all(cell.strip() for row in rows.values() for cell in row.strip("|").split("|"))
