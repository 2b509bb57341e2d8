"""The project's own style: words that are not used, the beginnings of comments, widths of lines, names of tests."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
# One word for one thing: docs/architecture.md has the vocabulary. Words of the left side are not used for what is on
# the right side.
INSTEAD = {
    r"root door|the door": "privileged helper, the helper",
    r"knock(?:ed|s)?": "call the helper",
    r"labour|untime|attend|heed": "worker, cancel the timer, install, wait for",
    r"chronicle|Scribe|happening": "history, HistoryWriter, history entry",
    r"outlook": "preview",
    r"bring home|brought home|take out": "download, remove",
    r"Clash|Flaw|Wanted": "Conflict, ConfigError, Target",
    r"surely|unheard": "with spare space, listen drops",
    r"whoever|nobody's|besides|lacking": "everyone who, no one's, except or also, missing",
    r"so that one|is told|are told": "so a reader, is shown",
}
# Names that contain one of the words: a program's option, a path, text of another project.
ALLOWED = re.compile(r"chroniclers?d|attendee|/usr/\S+")
BAD_BEGINNINGS = ("Of", "What", "Whoever", "Those", "As", "Whose")
PROSE = ("*.py", "*.sh", "*.j2", "*.md", "*.yml", "*.yaml", "script/*", ".ci/run")
WIDTHS = {".py": 120, ".sh": 120, ".j2": 120, "": 120, ".yml": 100, ".yaml": 100}
LONGEST_NAME = 80
# This file holds the words; the last lines of a refused inventory are the message that it gets; the other two tell of
# other projects and of the past.
SKIPPED = ("tests/unit/test_words.py", "tests/unit/inventory/refused/", "bench/", "CHANGELOG.md")


@cache
def tracked(*patterns: str) -> tuple[Path, ...]:
    """The files of the repository with these names, without SKIPPED."""
    said = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", *patterns],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(PROJECT / name for name in said.split() if not name.startswith(SKIPPED))


@cache
def lines_of(file: Path) -> tuple[str, ...]:
    """The lines of a file, read once for all words."""
    return tuple(file.read_text().splitlines())


def found(pattern: str) -> Iterator[str]:
    """Each place of the repository that has a word, as FILE:LINE: TEXT."""
    # The case distinguishes names of classes from other words.
    flags = 0 if pattern[0].isupper() else re.IGNORECASE
    word = re.compile(rf"\b(?:{pattern})\b", flags)
    for file in tracked(*PROSE):
        for number, line in enumerate(lines_of(file), 1):
            if word.search(ALLOWED.sub("", line)):
                yield f"{file.relative_to(PROJECT)}:{number}: {line.strip()[:100]}"


@pytest.mark.parametrize("pattern", INSTEAD)
def test_a_word_that_is_not_ours_is_nowhere(pattern: str) -> None:
    assert list(found(pattern)) == [], f"use: {INSTEAD[pattern]}"


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """The first lines of the docstrings and comments of a Python file or a script, with their line numbers."""
    text = file.read_text()
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (doc := ast.get_docstring(node)):
                yield getattr(node, "lineno", 1), doc
        before = 0
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                if before != token.start[0] - 1 or not token.line.lstrip().startswith("#"):
                    yield token.start[0], token.string.lstrip("# ")
                before = token.start[0]
        return
    before = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") and not line.startswith("#!"):
            if before != number - 1:
                yield number, line.lstrip("# \t")
            before = number


def test_no_docstring_or_comment_begins_with_a_word_that_has_to_be_decoded() -> None:
    wrong = [
        f"{file.relative_to(PROJECT)}:{number}: {text[:80]}"
        for file in tracked("*.py", "*.sh", "*.j2")
        for number, text in prose(file)
        if text.split(" ", 1)[0] in BAD_BEGINNINGS
    ]

    assert wrong == []


def test_lines_are_as_wide_as_the_style_says() -> None:
    """Markdown is checked by pymarkdown, which knows tables."""
    wide = [
        f"{file.relative_to(PROJECT)}:{number}: {len(line)} columns"
        for file in tracked(*PROSE)
        if file.suffix != ".md"
        for number, line in enumerate(lines_of(file), 1)
        if len(line) > WIDTHS[file.suffix]
    ]

    assert wide == []


def test_names_of_tests_are_sentences_of_bounded_length() -> None:
    long = [
        f"{file.relative_to(PROJECT)}:{node.lineno}: {node.name}"
        for file in tracked("tests/*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > LONGEST_NAME
    ]

    assert long == []
