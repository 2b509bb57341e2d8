"""Counters for the results of the cases of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from tests.faults.matrix import Case, Cell


class Counters:
    """The end of each case: survived, broken or untried."""

    def __init__(self) -> None:
        self.rows: list[tuple[Case, str]] = []

    def add(self, case: Case, outcome: str) -> None:
        """Note how a case ended."""
        self.rows.append((case, outcome))

    def written(self) -> str:
        """The rows, for another process to `read`."""
        return msgspec.json.encode(self.rows).decode()

    def read(self, text: str) -> None:
        """Add the rows that another process has written."""
        self.rows += msgspec.json.decode(text, type=list[tuple[Case, str]])

    @property
    def tried(self) -> frozenset[Cell]:
        """The cells whose moment came."""
        return frozenset(case.cell for case, outcome in self.rows if outcome != "untried")

    def table(self) -> str:
        """Tried and survived, by fault, by step, by strategy."""
        lines = [
            *self._part("fault", lambda case: case.cell.fault),
            "",
            *self._part("step", lambda case: case.cell.step or "throughout"),
            "",
            *self._part("strategy", lambda case: case.cell.strategy),
            "",
        ]
        lines += [f"{outcome}: {case}" for case, outcome in self.rows if outcome != "survived"]
        return "\n".join(lines) + "\n"

    def _part(self, name: str, key: Callable[[Case], str]) -> list[str]:
        tried = Counter(key(case) for case, outcome in self.rows if outcome != "untried")
        survived = Counter(key(case) for case, outcome in self.rows if outcome == "survived")
        untried = Counter(key(case) for case, outcome in self.rows if outcome == "untried")
        lines = [f"{name:<24}{'tried':>7}{'survived':>10}{'untried':>9}"]
        for word in sorted({*tried, *untried}):
            lines.append(f"{word:<24}{tried[word]:>7}{survived[word]:>10}{untried[word]:>9}")
        lines.append(f"{'all':<24}{tried.total():>7}{survived.total():>10}{untried.total():>9}")
        return lines


# The counters of this run: pytest's hooks and its tests share them.
COUNTERS = Counters()
