"""Tables: rows for people, within the width of a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from warpbeam.cli.screen import cut, folded, width
from warpbeam.size import size
from warpbeam.visible import visible

# Characters between columns, before a row's further lines, and in the last column at least.
GAP = 2
INDENT = 6
LEAST = 24  # enough that a time for people is never cut


def table_lines(rows: Sequence[dict[str, Any]], room: int, addressed: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the lines of a table of `rows` that is at most `room` characters wide.

    A row's `problem`, passed through `addressed`, is a sentence under the row and not a column.
    """
    full = [row for row in rows if is_full(row)]
    columns = [name for name in dict.fromkeys(key for row in full for key in row) if name != "problem"]
    cells = [[_cell(name, row.get(name, "")) for name in columns] for row in rows]
    widths = [max(len(name), *(width(row[i]) for row in cells)) for i, name in enumerate(columns)]
    groups = packed(widths, room)
    if full:
        yield from _lines(columns, widths, groups, room)
    for row, texts in zip(rows, cells, strict=True):
        if is_full(row):
            yield from _lines(texts, widths, groups, room)
        if row.get("problem"):
            yield from folded(addressed(_problem_line(row)), room, "    ").split("\n")


def is_full(row: dict[str, Any]) -> bool:
    """Return whether a row has more than a host's problem, which is a sentence and needs no column."""
    return not set(row) <= {"host", "problem"}


def _problem_line(row: dict[str, Any]) -> str:
    host, problem = str(row.get("host", "")), str(row["problem"])
    if is_full(row):
        return f"  ^ {problem}"
    # Do not repeat the host's name; `web1` must not match the beginning of `web10: …`.
    return problem if not host or problem.startswith((f"{host} ", f"{host}: ")) else f"{host}: {problem}"


def packed(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns, by index, of each line of a row, so that a narrow screen shows all of them.

    Only the last column may be wider than its room, of `LEAST` characters at least: it holds sentences.
    """
    groups: list[list[int]] = [[]]
    used = 0
    for index, columns in enumerate(widths):
        need = min(columns, LEAST) if index == len(widths) - 1 else columns
        if groups[-1] and used + need > room:
            groups.append([])
            used = INDENT
        groups[-1].append(index)
        used += need + GAP
    return groups


def _lines(cells: Sequence[str], widths: Sequence[int], groups: Sequence[Sequence[int]], room: int) -> Iterator[str]:
    for number, group in enumerate(groups):
        indent = " " * INDENT if number else ""
        *before, last = (cells[index] + " " * (widths[index] - width(cells[index])) for index in group)
        head = indent + "".join(cell + " " * GAP for cell in before)
        # The last cell may be a sentence: it has as many lines as it needs.
        for part in folded(last.rstrip(), max(room - width(head), 1), "").split("\n"):
            yield cut((head + part).rstrip(), room)
            head = " " * width(head)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("memory", "pid", "size") and not value:
        return ""
    if name in ("memory", "size"):
        return size(value)
    if isinstance(value, list):
        return visible(", ".join(map(str, value)) or "-")
    return visible(str(value))
