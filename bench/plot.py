"""The results as a plot: in each setting one bar a peer; its length is the peer's time in multiples of the floor's.

Plain SVG of rectangles and words: a plotting library would add a hundred times the code that it saves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.result import Summary
from bench.table import title

WIDTH, LEFT, RIGHT = 860, 120, 90
BAR, GAP, HEAD = 16, 5, 30
COLOURS = {
    "floor": "#9e9e9e",
    "warpbeam": "#5e35b1",
    "pyinfra": "#ef6c00",
    "capistrano": "#c62828",
    "ansible": "#1565c0",
}


def plot(found: Sequence[Summary]) -> str:
    """Return an SVG document; the scale is logarithmic, because the peers lie far apart."""
    shown = [summary for summary in found if summary.to_floor is not None]
    largest = max((summary.to_floor or 1 for summary in shown), default=1)
    parts: list[str] = []
    y = 44
    for setting in dict.fromkeys(summary.setting for summary in shown):
        rows = [summary for summary in shown if summary.setting == setting]
        parts.append(_text(LEFT, y + 14, title(setting).replace("`", ""), weight="bold"))
        y += HEAD - 8
        for row in rows:
            ratio = row.to_floor or 1
            length = max(2, _scaled(ratio, largest))
            parts.append(_text(LEFT - 8, y + 12, row.peer, anchor="end"))
            colour = COLOURS.get(row.peer, "#455a64")
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}" rx="2"/>')
            parts.append(_text(LEFT + length + 6, y + 12, f"{ratio:.2f} (n = {row.count})"))
            y += BAR + GAP
        y += HEAD - BAR
    head = _text(
        LEFT, 20, "Time of a deploy, in multiples of the floor (logarithmic; shorter is better)", weight="bold"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join([head, *parts])
        + "\n</svg>\n"
    )


def _scaled(ratio: float, largest: float) -> float:
    """Return the length of a bar: zero at half the floor, full width at the largest ratio."""
    return (WIDTH - LEFT - RIGHT) * math.log(max(ratio, 0.5) / 0.5) / math.log(max(largest, 1) / 0.5)


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
