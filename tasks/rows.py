"""Answers of every host, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Exit

if TYPE_CHECKING:
    from warpbeam.cli.session import Session


def show(here: Session, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows. Raises: invoke.Exit, with the code for a refusal, where a host did not answer."""
    from warpbeam.cli.table import is_full
    from warpbeam.error import REFUSED

    here.report.table(rows, as_json=as_json)
    if not all(is_full(row) for row in rows):
        raise Exit(code=REFUSED)
