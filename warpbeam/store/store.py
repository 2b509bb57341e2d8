"""A store: the place where the artifacts of one app are, as the other packages see it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import msgspec

from warpbeam.build.artifact import Artifact, Manifest


class PutLive(msgspec.Struct, frozen=True, omit_defaults=True):
    """The release that is live in an environment, as the machine recorded it that put it there.

    `sha256` is the digest of its artifact; `others` are those of its artifacts for other kinds of host.
    """

    sha256: str
    commit: str
    subject: str
    dirty: bool
    release: str
    others: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of all artifacts that are live."""
        return (self.sha256, *self.others)


class Store(Protocol):
    """The artifacts of one app, by key, and for each environment what this machine put live there last."""

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of that key; None where it is missing, its manifest is flawed or its size is wrong."""

    def with_sha256(self, sha256: str) -> Artifact | None:
        """Return the artifact whose tarball has that digest, or None where the store does not have it."""

    def check_room(self, size: int, origin: str) -> None:
        """Check that the store has room for an artifact of `size` bytes from the host `origin`. Raises: Failed."""

    def incoming(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Yield a file to write a tarball into; it is removed at the end unless `keep` was called."""

    def keep(self, key: str, manifest: Manifest, digest: str) -> Artifact:
        """Keep the tarball that was written, with its manifest; to be called inside `incoming`.

        Raises:
            Failed: the digest of what arrived is not that of the manifest.
        """

    def keep_sbom(self, key: str, text: bytes) -> None:
        """Write the SBOM of the artifact of that key."""

    def keep_signature(self, key: str, text: bytes) -> None:
        """Write the signature of the artifact of that key, in place of an earlier one."""

    def last_live(self, environment: str) -> PutLive | None:
        """Return what this machine put live last in that environment, or None where that is not recorded."""

    def note_live(self, environment: str, what: PutLive | None) -> None:
        """Record what was put live last in that environment; None removes the record."""
