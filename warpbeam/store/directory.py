"""The store that is a directory of this machine: the artifacts of one app, and what was put live last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.content import violation
from warpbeam.error import Failed
from warpbeam.limit import MEGABYTE
from warpbeam.store.store import PutLive

# Bytes that must stay free on this machine's disk after a download.
ROOM_LEFT = 256 * MEGABYTE


class DirectoryStore:
    """The artifacts of one app on this machine: `KEY.tar.gz` and `KEY.json` in a private directory.

    `ENVIRONMENT.live` records what this machine deployed there last.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of that key; None where it is missing, its manifest is flawed or its size is wrong."""
        file = self.directory / f"{key}.json"
        try:
            manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
            if violation(manifest.files, manifest.directories):
                return None
            artifact = Artifact(self.directory / f"{key}.tar.gz", manifest)
            return artifact if artifact.tarball.stat().st_size == manifest.size else None
        except (OSError, msgspec.DecodeError):
            return None

    def with_sha256(self, sha256: str) -> Artifact | None:
        """Return the artifact whose tarball has that digest, or None where the store does not have it."""
        found = (self.find(file.stem) for file in sorted(self.directory.glob("*.json")))
        return next((artifact for artifact in found if artifact and artifact.manifest.sha256 == sha256), None)

    def last_live(self, environment: str) -> PutLive | None:
        """Return what this machine deployed last in that environment, or None where that is not recorded."""
        try:
            return msgspec.json.decode((self.directory / f"{environment}.live").read_bytes(), type=PutLive)
        except (OSError, msgspec.DecodeError):
            return None

    def note_live(self, environment: str, what: PutLive | None) -> None:
        """Record what was deployed last in that environment; None removes the record."""
        file = self.directory / f"{environment}.live"
        if what is None:
            file.unlink(missing_ok=True)
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.directory / f".{environment}.live.{os.getpid()}"
        new.write_bytes(msgspec.json.encode(what))
        new.replace(file)

    def check_room(self, size: int, origin: str) -> None:
        """Check that this machine's disk has room for an artifact of `size` bytes from the host `origin`.

        Raises: Failed, where it has not.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(self.directory).free
        if not 0 <= size <= free - ROOM_LEFT:
            raise Failed(
                f"the artifact has {size / 1e6:.1f} MB, and this machine's disk {free / 1e6:.1f} MB free",
                f"make room in {self.directory}, or see what the release holds",
                host=origin,
            )

    @contextmanager
    def incoming(self, key: str) -> Iterator[BinaryIO]:
        """Yield a file to write a tarball into; it is removed at the end unless `keep` gave it its name."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._incoming(key)
        try:
            with file.open("wb") as opened:
                yield opened
        finally:
            file.unlink(missing_ok=True)

    def keep(self, key: str, manifest: Manifest, digest: str) -> Artifact:
        """Give the tarball that was written its name and write its manifest; to be called inside `incoming`.

        Raises:
            Failed: the digest of what arrived is not that of the manifest.
        """
        if digest != manifest.sha256:
            raise Failed(
                "the artifact arrived damaged: its checksum differs from the build host's",
                "run the same command again",
            )
        tarball = self.directory / f"{key}.tar.gz"
        self._incoming(key).replace(tarball)
        described = self.directory / f".{key}.json.{os.getpid()}"
        described.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=0))
        described.replace(self.directory / f"{key}.json")
        return Artifact(tarball, manifest)

    def _incoming(self, key: str) -> Path:
        return self.directory / f".{key}.tar.gz.{os.getpid()}"
