"""The shared store that is a directory which this machine reaches: a mounted disk, a cache of a CI server."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from warpbeam.error import Failed
from warpbeam.store.shared import NAME, PIECE, Absent, OnSent, Sink, StoredFile, Unavailable, too_long

# Seconds after which a file that is still being written was left behind.
LEFT_BEHIND = 24 * 3600


class SharedDirectory:
    """A `warpbeam.store.shared.SharedStore` in `top`/`app`."""

    def __init__(self, top: Path, app: str) -> None:
        self.top = top
        self.directory = top / app

    @property
    def label(self) -> str:
        """See `SharedStore.label`."""
        return str(self.top)

    def files(self) -> dict[str, StoredFile]:
        """See `SharedStore.files`."""
        self._check()
        found = {}
        try:
            for entry in os.scandir(self.directory):
                if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    about = entry.stat(follow_symlinks=False)
                    found[entry.name] = StoredFile(about.st_size, int(about.st_mtime))
        except FileNotFoundError:
            return found
        except OSError as error:
            raise self._unavailable(error) from None
        return found

    def read(self, name: str, most: int, sink: Sink) -> None:
        """See `SharedStore.read`."""
        self._check()
        try:
            # Without O_NONBLOCK, a pipe in the file's place would keep this process waiting.
            number = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Absent(f"the store {self.label} has no {name}") from None
        except OSError as error:
            raise self._unavailable(error) from None
        with os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise Failed(f"{self.directory / name} is no file", "look at who may write to the store")
            left = most
            for piece in self._pieces(file):
                left -= len(piece)
                if left < 0:
                    raise too_long(self, name, most)
                sink(piece)

    def _pieces(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            while piece := file.read(PIECE):
                yield piece
        except OSError as error:
            raise self._unavailable(error) from None

    def write(self, name: str, content: Path, on_sent: OnSent) -> None:
        """See `SharedStore.write`."""
        self._check()
        new = self.directory / f".{name}.{secrets.token_hex(8)}"
        try:
            self.directory.mkdir(exist_ok=True)
            with content.open("rb") as read, new.open("xb") as written:
                while piece := read.read(PIECE):
                    written.write(piece)
                    on_sent(len(piece))
                written.flush()
                os.fsync(written.fileno())
            new.replace(self.directory / name)
        except OSError as error:
            raise self._unavailable(error) from None
        finally:
            new.unlink(missing_ok=True)

    def remove(self, names: list[str]) -> None:
        """See `SharedStore.remove`."""
        self._check()
        try:
            for name in names:
                (self.directory / name).unlink(missing_ok=True)
            for left in self.directory.glob(".*.*"):
                if time.time() - left.lstat().st_mtime > LEFT_BEHIND:
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable(error) from None

    def _check(self) -> None:
        """Check that the directory is there. Raises: Unavailable, where it is not: it may not be mounted."""
        if not os.path.isdir(self.top):  # noqa: PTH112 (a directory that this user may not enter is none)
            raise Unavailable(f"the store {self.label} is no directory of this machine", "make it, or mount it")

    def _unavailable(self, error: OSError) -> Unavailable:
        where = f": {error.filename}" if error.filename else ""
        hint = "look at its room, at who may write there, and whether it is mounted"
        return Unavailable(f"the store {self.label} cannot be used: {error.strerror or error}{where}", hint)
