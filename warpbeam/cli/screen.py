"""What fits a screen, and how text gets there: sentences broken before its edge, lines that stay one, sizes."""

from __future__ import annotations

import os
import re
import textwrap
from typing import IO, TextIO

from warpbeam.visible import visible

# Stands for a space that is no place to break a line; textwrap breaks at ASCII's white space only.
FIRM = "\N{NO-BREAK SPACE}"
# Of a line that runs over the edge, as many blanks at once as still show that it is one line.
MOST_BLANKS = 8


def print_lines(stream: TextIO, *lines: str, end: str = "\n") -> None:
    """Write lines, each of which is one on the screen too, whatever is in it (a tab stays).

    All text of ours goes to a stream through here, but for what rich draws (`report.py`) and what commands on hosts
    print (`output.py`); tests/unit/test_visible.py sees to it.
    """
    text = "".join(visible(line, keep="\t") + end for line in lines)
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # The locale has no such letter: better its code than no word at all.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def error_text(message: str, hint: str) -> str:
    """A message and its hint in two lines, for `fab` itself to print."""
    return f"error: {visible(message)}\n  hint: {visible(hint)}"


def room_on(stream: IO[str]) -> int:
    """The columns of the terminal that `stream` is, or 0 where it is none: a pipe's reader breaks lines as it likes."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def folded(text: str, room: int, indent: str = "  ") -> str:
    """`text`, which is one line, in lines of at most `room` columns (0: as it is), all but the first behind `indent`.

    What is in backquotes is a command to be copied, so it stays in one piece, as a long word does.
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
    """`line`, where it is wider than the screen with no more than a few blanks at once.

    A terminal breaks it at its edge: after a row of blanks the next one would look like a line of its own.
    """
    if not room or width(line) <= room:
        return line
    return re.sub(rf"[ \t]{{{MOST_BLANKS},}}", " " * MOST_BLANKS, line)


def width(text: str) -> int:
    """How many columns of a terminal it takes."""
    text = text.expandtabs()
    if text.isascii():
        return len(text)
    # What is not shown is not loaded.
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, room: int) -> str:
    """`text` as far as it fits, with `…` where some is missing."""
    if width(text) <= room:
        return text
    if text.isascii():
        return text[: room - 1] + "…"
    from rich.cells import set_cell_size

    return set_cell_size(text, room - 1).rstrip() + "…"


def size(count: float) -> str:
    """Bytes as people read them: 26.1 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
