"""An artifact: a built release as one tarball plus its manifest, and the store that keeps them on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO

import msgspec

from warpbeam.build.content import violation
from warpbeam.error import Failed
from warpbeam.host.answer import Count, Label, Libc, Library, Machine, Sha256, Text, Version, Word

PIECE = 256 * 1024


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One file or link of a release: `mode` is octal text; a link has its target in `link` and no digest."""

    path: str
    mode: str
    size: int
    sha256: str
    link: str = ""


class Toolchain(msgspec.Struct, frozen=True):
    """The tools and the platform of a build host; they decide on which hosts a release can run."""

    elixir: Version
    otp: Version
    cpu: Machine
    libc: Libc
    os: Label


class Manifest(msgspec.Struct, frozen=True):
    """The description of an artifact: its app, its source, the tools of its build, its files."""

    app: str
    release: str
    version: Version
    commit: Word
    subject: Text
    tree: Word
    dirty: bool
    # Its kind, of warpbeam/runtime/kinds.py.
    flavor: str
    mix_env: str
    toolchain: Toolchain
    erts: Version
    libcrypto: Library
    sha256: Sha256
    size: Count
    files: tuple[Item, ...]
    # Only empty directories: hosts make the others for the files in them.
    directories: tuple[str, ...] = ()
    # It sets the name of its node itself, which overrides the node name of the slot.
    names_node: bool = False


class Artifact(msgspec.Struct, frozen=True, dict=True):
    """An artifact of the store."""

    tarball: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """The version and the short commit, for messages."""
        return f"{self.manifest.version} ({self.manifest.commit[:8]}{', dirty' if self.manifest.dirty else ''})"

    @cached_property
    def files(self) -> tuple[Item, ...]:
        """The release's files without its links, in the order of the manifest."""
        return tuple(item for item in self.manifest.files if not item.link)


@cache
def epmd_source() -> str:
    """The source of the Erlang module by which nodes find each other; every build adds it, compiled, to the release."""
    return (Path(__file__).parents[1] / "network" / "erl_epmd.erl").read_text("utf-8")


def artifact_key(source: Sequence[str], build: Mapping[str, object], toolchain: Toolchain) -> str:
    """Return the key of an artifact, from all that decides its content. The same key is not built twice.

    Parameters:
        source: the tree, and what else decides which bytes are sent.
        build: all settings of the inventory that affect the build.
        toolchain: the tools and the platform of the build host.
    """
    parts = [list(source), build, msgspec.to_builtins(toolchain), epmd_source()]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:20]


class PutLive(msgspec.Struct, frozen=True):
    """The artifact that this machine deployed last in an environment, as recorded here and not as a host answers."""

    sha256: str
    commit: str
    subject: str
    dirty: bool
    release: str


class Store:
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

    @staticmethod
    def is_unchanged(artifact: Artifact) -> bool:
        """Whether the tarball still has the digest of its manifest."""
        with artifact.tarball.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == artifact.manifest.sha256

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
