"""What a host says of itself and of the app on it, before anything is decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from warpbeam.building.artifact import Artifact

Mark = Literal["new", "healthy", "failed", "withdrawn"]


class About(msgspec.Struct, frozen=True):
    """What a release on a host is known to be; written beside it when it was uploaded.

    `release` is the name that Mix knows it by; empty where a Warpbeam uploaded it that did not write it down.
    """

    version: str = ""
    commit: str = ""
    subject: str = ""
    tree: str = ""
    sha256: str = ""
    dirty: bool = False
    release: str = ""

    @property
    def short_commit(self) -> str:
        """The commit as people name it, and whether more than the commit went in."""
        return f"{self.commit[:8]}{', dirty' if self.dirty else ''}"


def about(artifact: Artifact) -> About:
    """What a host keeps beside the release."""
    manifest = artifact.manifest
    return About(
        manifest.version,
        manifest.commit,
        manifest.subject,
        manifest.tree,
        manifest.sha256,
        manifest.dirty,
        manifest.release,
    )


class Release(msgspec.Struct, frozen=True):
    """An artifact unpacked on a host. `name` is its UTC time, and sorts by it."""

    name: str
    mark: Mark
    artifact: About

    @property
    def label(self) -> str:
        """The version and short commit, as people name it."""
        return f"{self.artifact.version} ({self.artifact.short_commit})"


def named(releases: Iterable[Release], name: str) -> Release | None:
    """The one of that name, when it is among them."""
    return next((release for release in releases if release.name == name), None)


class Holder(msgspec.Struct, frozen=True):
    """Who holds a deploy lock, in words."""

    who: str = ""
    why: str = ""
    since: str = ""
    version: str = ""

    def __str__(self) -> str:
        what = f"{self.why} {self.version}".strip()
        return f"{self.who} since {self.since} ({what})"


class Facts(msgspec.Struct, frozen=True):
    """A host's answer to a claim. Sizes in bytes; `inodes` is -1 where the file system counts none.

    `lacks` are indices into the artifact's files; `serving`: the live slot has an instance; `starts` is the release's
    name in the unit, which is what the host can start, or empty where that cannot be told; `foreign` are the releases
    that have no such program.
    """

    cpu: str
    libc: str
    os: str
    libcrypto: tuple[str, ...]
    free: int
    inodes: int
    memory: int
    live: str
    slots: dict[str, str]
    releases: tuple[Release, ...]
    base: str
    lacks: tuple[int, ...]
    door: str
    previous: str
    lock: Holder | None
    activating: bool
    serving: bool = True
    starts: str = ""
    foreign: tuple[str, ...] = ()

    @property
    def live_release(self) -> Release | None:
        """The release that `current` leads to, when it is there."""
        return self.find(self.slots.get(self.live, ""))

    def find(self, name: str) -> Release | None:
        """The release of that name, when it is on the host."""
        return named(self.releases, name)

    @property
    def live_memory(self) -> int:
        """What the live instance has in memory, in bytes; 0 where none runs, or nobody wanted to know."""
        for line in self.door.splitlines():
            match line.split():
                case ["memory", kilobytes]:
                    return int(kilobytes) * 1024
        return 0

    @property
    def maintenance(self) -> bool:
        """Whether the public port answers with the maintenance page."""
        return "maintenance on" in self.door.splitlines()

    @property
    def door_version(self) -> str:
        """The root door's version, or empty where it does not answer."""
        first = self.door.partition("\n")[0].split()
        return first[1] if len(first) == 2 and first[0] == "door" else ""
