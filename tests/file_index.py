"""The last section of docs/architecture.md: every file in a line, made from the first sentence of each.

    .venv/bin/python -m tests.file_index

A test fails where the page is not what this makes.
"""

from __future__ import annotations

import ast
import re
import subprocess
from itertools import groupby
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
HEADING = "## Every file\n"
FOLDERS = ("tasks", "warpbeam", "templates")
# The parts of a template before its sentence, and around the names in it.
_NO_SENTENCE = re.compile(r"\A\{\{ app \}\}: |\AWritten by Warpbeam's setup[^.]*\. |\{\{ | \}\}")


def index() -> str:
    """Return the section: a table for each folder, with the first sentence of each of its files."""
    files = [Path(name) for folder in FOLDERS for name in _tracked(folder)]
    tables = []
    for folder, members in groupby(sorted(files, key=lambda file: (str(file.parent), file.name)), lambda f: f.parent):
        rows = [f"| `{file.name}` | {first_sentence(file)} |" for file in members]
        tables.append("\n".join([f"### `{folder}/`", "", "| file | what it holds |", "|---|---|", *rows]))
    head = "`python -m tests.file_index` makes these tables from the first sentence of each file."
    return "\n\n".join([HEADING + "\n" + head, *tables]) + "\n"


def first_sentence(file: Path) -> str:
    """Return the first sentence of what the file says of itself, without its full stop, safe for a table."""
    text = (PROJECT / file).read_text("utf-8")
    said = _NO_SENTENCE.sub("", _docstring(text) if ".py" in file.suffixes else _head(text))
    sentence = said.partition(". ")[0].removesuffix(".").replace("|", "\\|")
    return sentence[:1].upper() + sentence[1:]


def _tracked(folder: str) -> list[str]:
    """Return the files below `folder` that git has, or will have with the next commit."""
    argv = ["git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard", folder]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def _docstring(text: str) -> str:
    return " ".join((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].split())


def _head(text: str) -> str:
    """Return the first comment: of a script, of Erlang (`%`), or of a template (`<#-`)."""
    lines = text.split("\n")
    while lines and (lines[0].startswith("#!") or lines[0].startswith("{%") or not lines[0].strip("#% ")):
        del lines[0]
    comment: list[str] = []
    for line in lines:
        if not re.match(r"[#%]|<#-|    ", line) or not line.strip("#% "):
            break
        comment.append(line.removeprefix("<#-").lstrip("#% ").removesuffix("-#>").strip())
    return " ".join(comment)


def main() -> None:
    """Write the section into the page."""
    PAGE.write_text(PAGE.read_text().partition(HEADING)[0] + index())


if __name__ == "__main__":
    main()
