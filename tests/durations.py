"""The table of durations that tests/schedule.py reads, made from what a run measured.

    .venv/bin/python -m tests.durations .cache/tests.xml

A file that the run did not have keeps its figure.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path

TABLE = Path(__file__).with_name("durations.json")
# Seconds; of shorter files the number of their tests says enough.
WORTH_TELLING = 120


def read_table() -> dict[str, int]:
    """Return the seconds that a file of tests on hosts takes on one Debian, by the file's name without its ending.

    The name and not the path: a file that is moved takes as long as before.
    """
    table: dict[str, int] = json.loads(TABLE.read_text())
    return table


def measured(junit: Path) -> dict[str, int]:
    """The same, as a run of pytest measured it; of two Debians, the slower one."""
    seconds: Counter[tuple[str, str]] = Counter()
    for case in tree.parse(junit).iter("testcase"):
        module = case.get("classname", "")
        found = re.search(r"[\[-](bookworm|trixie)[\]-]", case.get("name", ""))
        if module.startswith("tests.hosts."):
            seconds[module.rpartition(".")[2], found[1] if found else ""] += round(float(case.get("time", 0)))
    return {name: max(took for (other, _), took in seconds.items() if other == name) for name, _ in seconds}


def write_table(junit: Path) -> None:
    """Replace the figures of the files that were measured."""
    table = {**read_table(), **measured(junit)}
    kept = {name: took for name, took in sorted(table.items()) if took >= WORTH_TELLING}
    TABLE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
