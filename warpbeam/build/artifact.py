"""An artifact: a built release as one tarball plus its manifest."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import msgspec

from warpbeam.host.answer import Count, Label, Libc, Library, Machine, Sha256, Text, Version, Word

PIECE = 256 * 1024


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One file or link of a release: `mode` is octal text; a link has its target in `link` and no digest."""

    path: str
    mode: str
    size: int
    sha256: str
    link: str = ""


class Toolchain(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tools and the platform of a build host; they decide on which hosts a release can run.

    `nodejs` is set only where the source asks for one, `image` (its digest) only for a build in a container.
    """

    elixir: Version
    otp: Version
    cpu: Machine
    libc: Libc
    os: Label
    nodejs: Version = ""
    image: Sha256 = ""


class Dependency(msgspec.Struct, frozen=True):
    """A package that the source locks; `origin` is a repository of Hex, or the URL of a git repository.

    `sha256` is the checksum of the package's file; a git repository has none, but a commit as its `version`.
    """

    name: Label
    version: Label
    sha256: Sha256
    origin: Label


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
    dependencies: tuple[Dependency, ...] = ()


class Artifact(msgspec.Struct, frozen=True, dict=True):
    """An artifact of the store."""

    tarball: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """The version and the short commit, for messages."""
        return f"{self.manifest.version} ({self.manifest.commit[:8]}{', dirty' if self.manifest.dirty else ''})"

    @property
    def key(self) -> str:
        """The key, which names the tarball in a store of this machine."""
        return self.tarball.name.removesuffix(".tar.gz")

    @property
    def signature_file(self) -> Path:
        """The path of the signature beside the tarball, whether it is there or not."""
        return self.tarball.with_name(f"{self.key}.sig")

    @cached_property
    def files(self) -> tuple[Item, ...]:
        """The release's files without its links, in the order of the manifest."""
        return tuple(item for item in self.manifest.files if not item.link)

    def is_unchanged(self) -> bool:
        """Whether the tarball still has the digest of its manifest."""
        with self.tarball.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.manifest.sha256
