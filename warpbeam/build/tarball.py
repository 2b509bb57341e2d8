"""The tarball of an artifact, checked against its manifest: it has every file of the manifest and nothing else.

The standard library's tarfile does not read it: tarfile reads a member's extended headers into memory, whatever length
they claim, and accepts formats that build.sh never makes. Here the manifest bounds every read.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec

from warpbeam.build.content import LONGEST_PATH, shown

if TYPE_CHECKING:
    from warpbeam.build.artifact import Item

# See tar(5), and GNU tar's manual, "Basic Tar Format".
BLOCK = 512
RECORD = 20 * BLOCK
PIECE = 256 * 1024
KINDS = {
    b"0": "file",
    b"\0": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "pipe",
}
LONG_LINK, LONG_NAME = b"K", b"L"
# The latest time that every file system can store: 31 bits of seconds.
LATEST = (1 << 31) - 1


class Unlike(Exception):
    """A difference between a tarball and its manifest, in a sentence."""


class Member(msgspec.Struct, frozen=True):
    """A member's header."""

    name: str
    kind: str
    mode: int
    size: int
    link: str
    # Seconds since 1970.
    changed: int


def difference(tarball: Path, files: Sequence[Item]) -> str:
    """Return a sentence about the first difference between a gzip'd tarball and `files`; empty where there is none."""
    known = {item.path for item in files}
    try:
        with gzip.open(tarball) as unzipped, io.BufferedReader(unzipped, PIECE) as stream:
            for item in files:
                _check_member(stream, item, known)
            _check_end(stream)
    except Unlike as unlike:
        return str(unlike)
    except (EOFError, OSError, zlib.error) as broken:
        return f"it cannot be unpacked: {broken}"
    return ""


def pick(tarball: Path, files: Sequence[Item], wanted: Collection[str], target: Path) -> None:
    """Write a gzip'd tarball with the `wanted` ones of `files`, checked; read no further than the last of them.

    Raises: Unlike, where the tarball differs from `files`.
    """
    known = {item.path for item in files}
    left = len(wanted)
    try:
        with (
            gzip.open(tarball) as unzipped,
            io.BufferedReader(unzipped, PIECE) as stream,
            tarfile.open(target, "w:gz", format=tarfile.GNU_FORMAT, compresslevel=6) as packed,
        ):
            for item in files:
                if not left:
                    break
                member = _check_header(stream, item, known)
                if item.path in wanted:
                    left -= 1
                    _copy(stream, item, member.changed, packed)
                elif not item.link:
                    _digest(stream, item.size)
    except (EOFError, OSError, zlib.error) as broken:
        raise Unlike(f"it cannot be unpacked: {broken}") from None


def _copy(stream: BinaryIO, item: Item, changed: int, packed: tarfile.TarFile) -> None:
    info = tarfile.TarInfo(item.path)
    # Keep the time: a web server makes the ETag of a file from its size and time.
    info.mtime = min(changed, LATEST)
    info.mode = int(item.mode, 8)
    if item.link:
        info.type, info.linkname = tarfile.SYMTYPE, item.link
        packed.addfile(info)
        return
    info.size = item.size
    summed = _Summed(stream)
    packed.addfile(info, cast("IO[bytes]", summed))
    _take(stream, _padded(item.size) - item.size)
    _check_content(item, summed.digest.hexdigest())


class _Summed:
    """A stream that always reads as many bytes as asked for; `digest` covers what was read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        piece = _take(self._stream, size)
        self.digest.update(piece)
        return piece


def _check_member(stream: BinaryIO, item: Item, known: set[str]) -> None:
    _check_header(stream, item, known)
    if not item.link:
        _check_content(item, _digest(stream, item.size))


def _check_content(item: Item, sha256: str) -> None:
    if sha256 != item.sha256:
        raise Unlike(f"{shown(item.path)} has another content in the tarball than the manifest says")


def _check_header(stream: BinaryIO, item: Item, known: set[str]) -> Member:
    member = _read_member(stream)
    name = shown(item.path)
    if member is None:
        raise Unlike(f"{name} is missing in the tarball")
    if member.name != item.path:
        if member.name in known:
            raise Unlike(f"{name} is missing in the tarball, or not in its place")
        raise Unlike(f"the tarball holds {shown(member.name)}, a {member.kind}, of which the manifest says nothing")
    kind = "link" if item.link else "file"
    if member.kind != kind:
        raise Unlike(f"{name} is a {member.kind} in the tarball; the manifest says a {kind}")
    if member.link != item.link:
        raise Unlike(f"{name} is a link to {shown(member.link)} in the tarball; the manifest says {shown(item.link)}")
    if member.size != item.size:
        raise Unlike(f"{name} has {member.size} bytes in the tarball; the manifest says {item.size}")
    if kind == "link":
        return member
    if member.mode != int(item.mode, 8):
        raise Unlike(f"{name} has mode {member.mode:o} in the tarball; the manifest says {item.mode}")
    return member


def _read_member(stream: BinaryIO) -> Member | None:
    """Return the next header, with the long names that precede it; None at the end of the members."""
    long: dict[bytes, str] = {}
    while True:
        block = _take(stream, BLOCK)
        if not any(block):
            return None
        magic, kind = block[257:265], block[156:157]
        if magic not in (b"ustar  \0", b"ustar\x0000") or _number(block[148:156]) != _sum(block):
            raise Unlike("the tarball holds what is no header of tar's")
        size = _number(block[124:136])
        if kind not in (LONG_LINK, LONG_NAME):
            break
        if kind in long or size > LONGEST_PATH + 1:
            raise Unlike(f"the tarball holds a name of {size} bytes")
        long[kind] = _text(_take(stream, _padded(size))[:size])
    name = _text(block[:100])
    if magic == b"ustar\x0000" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return Member(
        name=long.get(LONG_NAME, name),
        kind=KINDS.get(kind, "thing of another kind"),
        mode=_number(block[100:108]),
        size=size,
        link=long.get(LONG_LINK, _text(block[157:257])),
        changed=_number(block[136:148]),
    )


def _check_end(stream: BinaryIO) -> None:
    """Refuse anything after the last member but zeros to the end of a record."""
    if (more := _read_member(stream)) is not None:
        raise Unlike(f"the tarball holds {shown(more.name)}, a {more.kind}, of which the manifest says nothing")
    rest = stream.read(RECORD + 1)
    if any(rest) or len(rest) > RECORD:
        raise Unlike("the tarball goes on after its end")


def _digest(stream: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    left = size
    while left:
        piece = _take(stream, min(left, PIECE))
        digest.update(piece)
        left -= len(piece)
    _take(stream, _padded(size) - size)
    return digest.hexdigest()


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _take(stream: BinaryIO, size: int) -> bytes:
    taken = stream.read(size)
    if len(taken) < size:
        raise Unlike("the tarball is cut short")
    return taken


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Read a number: octal text, or in base 256 where GNU tar has no room for that."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text.isdigit() or text.translate(None, b"01234567"):
        raise Unlike("the tarball holds what is no header of tar's")
    return int(text, 8)


def _sum(block: bytes) -> int:
    """Return the checksum of a header: the sum of its bytes, with the checksum's own bytes taken as spaces."""
    return sum(block) - sum(block[148:156]) + 8 * 0x20
