"""A question on the terminal."""

from __future__ import annotations

import sys

from warpbeam.cli.screen import print_lines
from warpbeam.error import Misuse


def ask(question: str, unasked: str, hint: str) -> bool:
    """Ask on the terminal; return True for `y` or `yes` only.

    Parameters:
        unasked, hint: the message where there is no terminal.

    Raises:
        Misuse: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise Misuse(unasked, hint)
    print_lines(sys.stderr, f"{question} [yes/no] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
