"""Templates: the text of files that stay on hosts, filled in with values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

# A wheel has the templates in the package (pyproject.toml), a clone beside it.
TEMPLATES = next(
    directory
    for directory in (Path(__file__).parents[1] / "templates", Path(__file__).parents[2] / "templates")
    if directory.is_dir()
)
PACKAGE = Path(__file__).parents[1]


@cache
def _environment() -> Environment:
    # Imported here, because a deploy needs no template and would wait for the import.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # Jinja's own mark `{#` occurs in bash: ${#name}.
        comment_start_string="<#",
        comment_end_string="#>",
        autoescape=False,  # noqa: S701 (no HTML; every value is validated by the inventory's types)
    )


def filled(template: str, **names: Any) -> str:
    """Return the text of a template. Raises: jinja2.UndefinedError, where it has a name that is not given."""
    return _environment().get_template(template).render(**names)


def shared(part: str) -> str:
    """Return the text of a shared part of the phases, for a program that stays on hosts and shares its functions."""
    return (PACKAGE / f"{part}.sh").read_text("utf-8").partition("\n")[2]


def systemd_quoted(value: str) -> str:
    """Return a value for an EnvironmentFile, byte for byte, in double quotes (`systemd.exec(5)`, EnvironmentFile=).

    Inside them systemd takes a backslash as an escape before these four characters only; newlines stay as they are.
    """
    for character in '\\"`$':
        value = value.replace(character, "\\" + character)
    return f'"{value}"'
