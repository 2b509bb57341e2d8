"""The files of a commit as a tar stream, by git archive."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from warpbeam.build.git import GIT
from warpbeam.environ import for_git
from warpbeam.error import Refused

PIECE = 256 * 1024


def archive(top: Path, commit: str, prefix: str) -> Iterator[bytes]:
    """Yield the files of the commit below `prefix`, as a tar stream.

    Raises:
        Refused: git archive failed.
    """
    paths = ["--", f":(literal){prefix}"] if prefix else []
    command = [*GIT, "-C", str(top), "archive", "--format=tar", commit, *paths]
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


def archive_digest(top: Path, commit: str, prefix: str) -> str:
    """Return the digest of that tar stream."""
    digest = hashlib.sha256()
    for piece in archive(top, commit, prefix):
        digest.update(piece)
    return digest.hexdigest()
