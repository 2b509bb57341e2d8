"""The files of a commit as a tar stream, by git archive."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from warpbeam.build.git import GIT
from warpbeam.environ import for_git
from warpbeam.error import Refused

PIECE = 256 * 1024


# The end of a tar stream without any file: two blocks of zeros, to the end of a record.
NO_FILES = bytes(20 * 512)


def archive(top: Path, commit: str, *paths: str, place: str = "") -> Iterator[bytes]:
    """Yield the files of the commit at or below `paths`, as a tar stream.

    Parameters:
        paths: paths in the repository; empty text, or none, for all files.
        place: put before each name, empty or ending in a slash.

    Raises:
        Refused: git archive failed.
    """
    chosen = [] if "" in paths else [f":(literal){path.rstrip('/')}" for path in paths]
    command = [*GIT, "-C", str(top), "archive", "--format=tar", f"--prefix={place}", commit, "--", *chosen]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=for_git()
    ) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101 (pipes were asked for)
        try:
            while piece := process.stdout.read(PIECE):
                yield piece
            said = process.stderr.read().decode("utf-8", "replace").strip()
        except GeneratorExit:
            process.kill()
            raise
    if process.returncode != 0:
        raise Refused(f"git archive failed: {said}")


def joined(streams: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """Yield several tar streams one after another, for a tar that ignores their ends; one without files for none."""
    empty = True
    for stream in streams:
        yield from stream
        empty = False
    if empty:
        yield NO_FILES


def archive_digest(top: Path, commit: str, prefix: str) -> str:
    """Return the digest of that tar stream."""
    digest = hashlib.sha256()
    for piece in archive(top, commit, prefix):
        digest.update(piece)
    return digest.hexdigest()
