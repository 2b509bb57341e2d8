"""The measurements: one row a deploy, kept in bench/results/rows.json."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench.measurement import Reading

RESULTS = Path(__file__).parent / "results"
ROWS = RESULTS / "rows.json"
OURS, FLOOR = "warpbeam", "floor"


class Row(Reading, frozen=True, kw_only=True):
    """The measurements of one deploy; `load` is this machine's load average just before it."""

    hosts: int
    case: str
    app: str
    network: str
    peer: str
    version: str
    repetition: int
    at: str
    load: float

    @property
    def setting(self) -> tuple[str, str, str, int]:
        """The values that rows must share to be compared."""
        return self.app, self.case, self.network, self.hosts


class Sheet(msgspec.Struct, frozen=True):
    """Everything that was measured on one machine."""

    machine: dict[str, str]
    rows: tuple[Row, ...]


def read() -> Sheet:
    """Return the kept sheet; an empty one if there is none."""
    try:
        return msgspec.json.decode(ROWS.read_bytes(), type=Sheet)
    except FileNotFoundError:
        return Sheet({}, ())


def merged(before: Sheet, machine: dict[str, str], rows: Sequence[Row]) -> Sheet:
    """Return the sheet with `rows` in place of its rows of the same settings, because ratios are of one run."""
    anew = {row.setting for row in rows}
    return Sheet(machine, (*(row for row in before.rows if row.setting not in anew), *rows))


def write(sheet: Sheet) -> None:
    """Write the sheet to rows.json."""
    RESULTS.mkdir(exist_ok=True)
    ROWS.write_bytes(msgspec.json.format(msgspec.json.encode(sheet), indent=1) + b"\n")


class Summary(msgspec.Struct, frozen=True):
    """A peer in one setting: medians of its rows; each ratio is the median of the ratios of the repetitions.

    `to_ours` is the peer's time in multiples of this project's, `to_floor` of the floor's; None where that is missing.
    """

    setting: tuple[str, str, str, int]
    peer: str
    version: str
    count: int
    seconds: float
    least: float
    most: float
    to_ours: float | None
    to_floor: float | None
    processor: float
    peak: int
    moved: int
    there: float


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """Return one summary for each setting and peer, settings in order, the quickest peer first."""
    settings: dict[tuple[str, str, str, int], dict[str, list[Row]]] = {}
    for row in rows:
        settings.setdefault(row.setting, {}).setdefault(row.peer, []).append(row)
    found = []
    for setting, peers in sorted(settings.items()):
        made = [_summary(setting, name, peers) for name in peers]
        found += sorted(made, key=lambda summary: summary.seconds)
    return found


def _summary(setting: tuple[str, str, str, int], peer: str, peers: dict[str, list[Row]]) -> Summary:
    rows = peers[peer]
    seconds = [row.seconds for row in rows]
    return Summary(
        setting,
        peer,
        rows[-1].version,
        len(rows),
        statistics.median(seconds),
        min(seconds),
        max(seconds),
        _ratio(rows, peers.get(OURS, [])),
        _ratio(rows, peers.get(FLOOR, [])),
        statistics.median(row.processor for row in rows),
        max(row.peak for row in rows),
        int(statistics.median(row.sent + row.received for row in rows)),
        statistics.median(row.there for row in rows),
    )


def _ratio(rows: list[Row], others: list[Row]) -> float | None:
    """Return the median of the ratios within a repetition, where other load on the machine meets both alike."""
    at = {row.repetition: row.seconds for row in others}
    ratios = [row.seconds / at[row.repetition] for row in rows if row.repetition in at]
    return statistics.median(ratios) if ratios else None
