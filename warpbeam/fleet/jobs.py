"""How many hosts are worked on at once, and the open files that their connections need."""

from __future__ import annotations

import os
import resource
from contextlib import suppress

from warpbeam.error import Misuse

# Hosts per core that are worked on at once by default. Connecting takes some 25 ms of processor time; after that we
# mostly wait for the host, and a connection holds a megabyte or two of memory (bench/results).
EACH_CORE = 16
MOST_JOBS = 1000
# A connection takes two or three open files. The usual limit, 1024, is enough for a few hundred hosts only.
MOST_FILES = 65_536


def parse_jobs(text: str) -> int:
    """Return the value of `--jobs`; empty: the default. Raises: Misuse, where it is no number from 1 to MOST_JOBS."""
    if not text:
        return usual_jobs()
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_JOBS):
        raise Misuse(f"--jobs: {text!r} is no number from 1 to {MOST_JOBS}")
    return int(text)


def usual_jobs() -> int:
    """Return how many hosts this machine works on at once by default."""
    return EACH_CORE * (os.cpu_count() or 1)


def allow_files(most: int = MOST_FILES) -> None:
    """Raise this process's limit of open files to `most`, or to its hard limit where that is lower (setrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
