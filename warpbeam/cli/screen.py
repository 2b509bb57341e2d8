"""Text on a screen: printed safely, sentences folded before the edge, long lines kept one, sizes for people."""

from __future__ import annotations

import os
import re
import textwrap
from typing import IO, TextIO

from warpbeam.visible import visible

# Replaces a space at which a line must not break; textwrap breaks only at ASCII's white space.
FIRM = "\N{NO-BREAK SPACE}"
# The most blanks in a row in a line that runs over the edge: with more it would not look like one line.
MOST_BLANKS = 8


def print_lines(stream: TextIO, *lines: str, end: str = "\n") -> None:
    """Write lines so that each is one line on the screen too, with any content (a tab stays).

    All our text goes to a stream by this function, except what rich draws (`report.py`) and what commands on hosts
    print (`output.py`); tests/unit/test_visible.py checks this.
    """
    text = "".join(visible(line, keep="\t") + end for line in lines)
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # The locale does not have this letter: write its code instead.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def error_text(message: str, hint: str) -> str:
    """Return a message and its hint in two lines, for `fab` itself to print."""
    return f"error: {visible(message)}\n  hint: {visible(hint)}"


def room_on(stream: IO[str]) -> int:
    """Return the columns of the terminal `stream`, or 0 where it is none: the reader of a pipe folds lines itself."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def folded(text: str, room: int, indent: str = "  ") -> str:
    """Return one line of text in lines of at most `room` columns (0: unchanged), all but the first after `indent`.

    Text in backquotes is a command to be copied, so it is not broken; neither is a long word.
    """
    text = visible(text)
    if not room or len(text) <= room:
        return text
    firm = re.sub(r"`[^`]*`", lambda command: unpadded(command[0], 1).replace(" ", FIRM), text)
    lines = textwrap.wrap(
        firm, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return "\n".join(lines).replace(FIRM, " ")


def unpadded(line: str, room: int) -> str:
    """Return `line`; where it is wider than the screen, with at most `MOST_BLANKS` blanks in a row.

    A terminal breaks it at the edge: after many blanks the next row would look like a line of its own.
    """
    if not room or width(line) <= room:
        return line
    return re.sub(rf"[ \t]{{{MOST_BLANKS},}}", " " * MOST_BLANKS, line)


def width(text: str) -> int:
    """Return the columns that `text` takes on a terminal."""
    text = text.expandtabs()
    if text.isascii():
        return len(text)
    # Imported only where it is needed.
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, room: int) -> str:
    """Return `text`, cut to `room` columns, with `…` where some is missing."""
    if width(text) <= room:
        return text
    if text.isascii():
        return text[: room - 1] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, room - 1).rstrip() + "…"
