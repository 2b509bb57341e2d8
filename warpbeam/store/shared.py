"""A shared store: the place of one app's artifacts that several machines reach, as the other modules see it.

It holds files by name, and nothing that it says is believed: `transfer.py` checks what comes from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from warpbeam.bound import MEGABYTE
from warpbeam.error import Failed, Refused

# A manifest names each file of its release: as many bytes as the answer of a build may have.
MOST_MANIFEST = 64 * MEGABYTE
# The digest in a tarball's name is what makes two pushes of one key at the same time harmless: whichever manifest is
# written last, the tarball that it describes is there.
NAME = re.compile(
    r"(?P<key>[0-9a-f]{20})(?:(?P<manifest>\.json)|-(?P<digest>[0-9a-f]{16})\.(?:tar\.gz|cdx\.json|sig))"
    r"|(?P<environment>[a-z][a-z0-9-]{0,62})\.live"
)
PIECE = 1 << 18

StoredName = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f/]{1,255}\Z", description="a file's name of at most 255 characters")
]
# Bytes of a piece that came, or of one that was sent.
Sink = Callable[[bytes], None]
OnSent = Callable[[int], None]


class StoredFile(msgspec.Struct, frozen=True):
    """A file of a shared store: its size in bytes, and the seconds since 1970 when it was written."""

    size: int
    changed: int


class Absent(Failed):
    """A shared store does not have the file."""


class Unavailable(Refused):
    """A shared store cannot be reached, or lets this user not in."""


class SharedStore(Protocol):
    """The files of one app in a shared store. Each is whole: while it is written, it does not have its name."""

    @property
    def label(self) -> str:
        """The store as messages name it."""

    def files(self) -> dict[str, StoredFile]:
        """Return the files whose names are those of artifacts and records. Raises: Unavailable."""

    def read(self, name: str, most: int, sink: Sink) -> None:
        """Pass the bytes of a file to `sink`, at most `most` of them. Raises: Absent, Unavailable, Failed."""

    def write(self, name: str, content: Path, on_sent: OnSent) -> None:
        """Write a file, replacing one of that name at once or not at all. Raises: Unavailable, Failed."""

    def remove(self, names: list[str]) -> None:
        """Remove files, and what interrupted writes left behind a day ago or longer. Raises: Unavailable, Failed."""


def tarball_name(key: str, sha256: str) -> str:
    """Return the name of an artifact's tarball in a shared store."""
    return f"{key}-{sha256[:16]}.tar.gz"


def sbom_name(key: str, sha256: str) -> str:
    """Return the name of an artifact's SBOM in a shared store."""
    return f"{key}-{sha256[:16]}.cdx.json"


def signature_name(key: str, sha256: str) -> str:
    """Return the name of an artifact's signature in a shared store."""
    return f"{key}-{sha256[:16]}.sig"


def key_with(store: SharedStore, sha256: str) -> str:
    """Return a key whose tarball has that digest, by its name; empty where there is none. Raises: Unavailable."""
    found = (NAME.fullmatch(name) for name in sorted(store.files()) if name.endswith(".tar.gz"))
    return next((match["key"] for match in found if match and match["digest"] == sha256[:16]), "")


def read_text(store: SharedStore, name: str, most: int) -> bytes:
    """Return the bytes of a small file. Raises what `SharedStore.read` raises."""
    text = bytearray()
    store.read(name, most, text.extend)
    return bytes(text)


def too_long(store: SharedStore, name: str, most: int) -> Refused:
    """Return the error for a file that has more bytes than it may have."""
    what = f"{name} in the store {store.label} has more than {most} bytes"
    return Refused(what, "nothing of it is kept; look at who may write to the store")
