"""The store that is a directory of this machine: the artifacts of one app, and what was put live last."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from warpbeam.bound import MEGABYTE
from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.content import violation
from warpbeam.error import Failed
from warpbeam.size import size as sized
from warpbeam.store.incoming import IncomingFile, explained
from warpbeam.store.store import PutLive

KEY = re.compile(r"[0-9a-f]{20}")

# Bytes that must stay free on this machine's disk after a download.
ROOM_LEFT = 256 * MEGABYTE


class DirectoryStore:
    """The artifacts of one app on this machine: `KEY.tar.gz` and `KEY.json` in a private directory.

    `KEY.sig` is the signature of a signed one. `KEY.origin` says where one came from that was not built here.

    `ENVIRONMENT.live` records what this machine deployed there last.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of that key; None where it is missing, its manifest is flawed or its size is wrong."""
        try:
            manifest = msgspec.json.decode(self.manifest_file(key).read_bytes(), type=Manifest)
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
            return msgspec.json.decode(self.live_file(environment).read_bytes(), type=PutLive)
        except (OSError, msgspec.DecodeError):
            return None

    def note_live(self, environment: str, what: PutLive | None) -> None:
        """Record what was deployed last in that environment; None removes the record."""
        file = self.live_file(environment)
        if what is None:
            file.unlink(missing_ok=True)
            return
        self._make()
        self._write(file.name, msgspec.json.encode(what))

    def check_room(self, size: int, origin: str) -> None:
        """Check that this machine's disk has room for an artifact of `size` bytes from the host `origin`.

        Raises: Failed, where it has not.
        """
        self._make()
        free = shutil.disk_usage(self.directory).free
        if not 0 <= size <= free - ROOM_LEFT:
            raise Failed(
                f"the artifact has {sized(size)}, and this machine's disk {sized(free)} free",
                f"make room in {self.directory}, or see what the release holds",
                host=origin,
            )

    @contextmanager
    def incoming(self, key: str) -> Iterator[BinaryIO]:
        """Yield a file to write a tarball into; it is removed at the end unless `keep` gave it its name."""
        self._make()
        file = self._incoming(key)
        try:
            with IncomingFile(file) as opened:
                yield opened
        finally:
            file.unlink(missing_ok=True)

    def keep(self, key: str, manifest: Manifest, digest: str, text: bytes = b"", origin: str = "") -> Artifact:
        """Give the tarball that was written its name and write its manifest; to be called inside `incoming`.

        Parameters:
            text: the manifest as it came from elsewhere, to be kept byte for byte; empty: it is written anew.
            origin: where it came from, in words; empty: this machine built it, or its build host.

        Raises:
            Failed: the digest of what arrived is not that of the manifest, or the disk is full.
        """
        if digest != manifest.sha256:
            raise Failed(
                "the artifact arrived damaged: its checksum differs from the build host's",
                "run the same command again",
            )
        tarball = self.directory / f"{key}.tar.gz"
        before = self.find(key)
        # First: what came from elsewhere never counts as built here, wherever this stops.
        if origin:
            self._write(self.origin_file(key).name, f"{origin}\n".encode())
        self._incoming(key).replace(tarball)
        self.sbom_file(key).unlink(missing_ok=True)
        # A signature is over what the manifest says of the release's files.
        if before is None or before.manifest != manifest:
            self.signature_file(key).unlink(missing_ok=True)
        if not origin:
            self.origin_file(key).unlink(missing_ok=True)
        self._write(f"{key}.json", text or msgspec.json.format(msgspec.json.encode(manifest), indent=0))
        return Artifact(tarball, manifest)

    def keep_sbom(self, key: str, text: bytes) -> None:
        """Write the SBOM of the artifact of that key."""
        self._write(self.sbom_file(key).name, text)

    def keep_signature(self, key: str, text: bytes) -> None:
        """Write the signature of the artifact of that key, in place of an earlier one."""
        self._write(self.signature_file(key).name, text)

    def origin(self, key: str) -> str:
        """Return where the artifact of that key came from, in words; empty where it was built for this machine."""
        try:
            return self.origin_file(key).read_text("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"the file that says where it came from cannot be read: {error.strerror}"

    def manifest_file(self, key: str) -> Path:
        """Return the path of the manifest of that key, whether it is there or not."""
        return self.directory / f"{key}.json"

    def sbom_file(self, key: str) -> Path:
        """Return the path of the SBOM of that key, whether it is there or not."""
        return self.directory / f"{key}.cdx.json"

    def signature_file(self, key: str) -> Path:
        """Return the path of the signature of that key, whether it is there or not."""
        return self.directory / f"{key}.sig"

    def origin_file(self, key: str) -> Path:
        """Return the path of the file that says where the artifact came from, whether it is there or not."""
        return self.directory / f"{key}.origin"

    def live_file(self, environment: str) -> Path:
        """Return the path of the record of what this machine deployed there last, whether it is there or not."""
        return self.directory / f"{environment}.live"

    def kept(self) -> dict[str, int]:
        """Return the keys that have a manifest, each with the seconds since 1970 when that was written."""
        files = (file for file in self.directory.glob("*.json") if KEY.fullmatch(file.stem))
        return {file.stem: int(file.stat().st_mtime) for file in files}

    def all_live(self) -> dict[str, PutLive]:
        """Return what this machine deployed last, by environment."""
        names = (file.stem for file in sorted(self.directory.glob("*.live")))
        found = {name: self.last_live(name) for name in names}
        return {name: live for name, live in found.items() if live is not None}

    def remove(self, key: str) -> None:
        """Remove the artifact of that key; its manifest first, so that no half of it is found."""
        self.manifest_file(key).unlink(missing_ok=True)
        beside = (self.sbom_file(key), self.signature_file(key), self.origin_file(key))
        for file in (self.directory / f"{key}.tar.gz", *beside):
            file.unlink(missing_ok=True)

    def _write(self, name: str, text: bytes) -> None:
        new = self.directory / f".{name}.{os.getpid()}"
        try:
            with IncomingFile(new) as opened:
                opened.write(text)
            new.replace(self.directory / name)
        finally:
            new.unlink(missing_ok=True)

    def _make(self) -> None:
        """Make the directory, which only this user may enter. Raises: Failed."""
        with explained(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _incoming(self, key: str) -> Path:
        return self.directory / f".{key}.tar.gz.{os.getpid()}"
