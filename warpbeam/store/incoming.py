"""A file of this machine's store that is being written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from warpbeam.error import Failed


class IncomingFile(FileIO):
    """A new file whose writes end in one message where this machine's disk is full. Each writes all that it gets."""

    def __init__(self, file: Path) -> None:
        with explained(file):
            super().__init__(file, "wb")

    def write(self, piece: Any) -> int:
        rest = memoryview(piece)
        with explained(Path(os.fsdecode(self.name))):
            while rest:
                rest = rest[super().write(rest) :]
        return len(piece)


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Raise an error of the operating system about `file` as a Failed."""
    try:
        yield
    except OSError as error:
        raise Failed(
            f"{file.parent} of this machine cannot be written: {error.strerror or error}",
            "make room there, or look at who owns it; then run the same command again",
        ) from None
