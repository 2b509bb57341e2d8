"""Compare `fab --list` here with that of a one-task fabfile: the price of all our tasks and inventories.

    python bench/list.py [RUNS]

Runs both in turn, so that other load on the machine meets both alike, and prints medians and their ratio. The aim is
1.2 at most; above that the exit status is 1.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FAB = Path(sys.executable).parent / "fab"
LARGEST_RATIO = 1.2
ONE_TASK = '''from invoke import task


@task
def hello(c):
    """Say hello."""
'''


def run(directory: Path) -> tuple[float, float]:
    """Run `fab --list` in a directory; return seconds elapsed and of the processor (which other load disturbs less)."""
    began = time.perf_counter()
    process = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd "$1" && exec "$2" --list >/dev/null', "sh", str(directory), str(FAB)],
        os.environ,
    )
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"fab --list failed in {directory}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def main(runs: int) -> int:
    """Measure and print; return the exit status."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name)
        (alone / "fabfile.py").write_text(ONE_TASK)
        for _ in range(runs + 1):
            theirs.append(run(alone))
            ours.append(run(PROJECT))
    ratio = 0.0
    for index, what in enumerate(("elapsed", "processor")):
        # The first run of each filled caches.
        one, all_of_it = (statistics.median(times[index] for times in some[1:]) for some in (theirs, ours))
        ratio = all_of_it / one
        print(f"{what:9}  one task {one * 1000:.0f} ms, this project {all_of_it * 1000:.0f} ms: {ratio:.2f} times")
    return 0 if ratio <= LARGEST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
