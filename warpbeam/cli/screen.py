"""What fits a screen: sentences broken before its edge, between words, and sizes in few characters."""

from __future__ import annotations

import os
import re
import textwrap
from typing import IO

# Stands for a space that is no place to break a line; textwrap breaks at ASCII's white space only.
FIRM = "\N{NO-BREAK SPACE}"


def room_on(stream: IO[str]) -> int:
    """The columns of the terminal that `stream` is, or 0 where it is none: a pipe's reader breaks lines as it likes."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def folded(text: str, room: int, indent: str = "  ") -> str:
    """`text` in lines of at most `room` columns (0: as it is), those after the first behind `indent`.

    What is in backquotes is a command to be copied, so it stays in one piece, as a long word does.
    """
    if not room or len(text) <= room or "\n" in text:
        return text
    firm = re.sub(r"`[^`]*`", lambda command: command[0].replace(" ", FIRM), text)
    lines = textwrap.wrap(
        firm, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return "\n".join(lines).replace(FIRM, " ")


def size(count: float) -> str:
    """Bytes as people read them: 26.1 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
