"""What a host says of itself and of the app on it, before anything is decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.source import LONGEST_SUBJECT
from warpbeam.host.answer import (
    FEW,
    FILES,
    MANY,
    Count,
    HelperText,
    Inodes,
    Label,
    Libc,
    Library,
    LiveSlot,
    Machine,
    MixName,
    ObjectId,
    ReleaseName,
    Sha256,
    SlotName,
    Text,
    Version,
    explained,
)

Mark = Literal["new", "healthy", "failed", "withdrawn"]


class About(msgspec.Struct, frozen=True):
    """What a release on a host is known to be; written beside it when it was uploaded.

    `release` is the name that Mix knows it by; empty where a Warpbeam uploaded it that did not write it down.
    """

    version: Version = ""
    commit: ObjectId = ""
    subject: Text = ""
    tree: ObjectId = ""
    sha256: Sha256 = ""
    dirty: bool = False
    release: MixName = ""

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
        manifest.subject[:LONGEST_SUBJECT],
        manifest.tree,
        manifest.sha256,
        manifest.dirty,
        manifest.release,
    )


class Release(msgspec.Struct, frozen=True):
    """An artifact unpacked on a host. `name` is its UTC time, and sorts by it."""

    name: ReleaseName
    mark: Mark
    artifact: About

    @property
    def label(self) -> str:
        """The version and short commit, as people name it; the name where what lies there cannot be read."""
        if not self.artifact.version:
            return f"{self.name} (unknown)"
        return f"{self.artifact.version} ({self.artifact.short_commit})"


def named(releases: Iterable[Release], name: str) -> Release | None:
    """The one of that name, when it is among them."""
    return next((release for release in releases if release.name == name), None)


class Holder(msgspec.Struct, frozen=True):
    """Who holds a deploy lock, in words."""

    who: Text = ""
    why: Text = ""
    since: Text = ""
    version: Text = ""

    def __str__(self) -> str:
        what = f"{self.why} {self.version}".strip()
        return f"{self.who} since {self.since} ({what})"


class HostFacts(msgspec.Struct, frozen=True):
    """A host's answer to a claim. Sizes in bytes; `inodes` is -1 where the file system counts none.

    `lacks` are indices into the artifact's files; `serving`: the live slot has an instance. `erts` is the version of
    the host's own Erlang VM, or `none`; empty where it was not asked, since the artifact has one.
    """

    cpu: Machine
    libc: Libc
    os: Label
    libcrypto: Annotated[tuple[Library, ...], FEW]
    free: Count
    inodes: Inodes
    memory: Count
    live: LiveSlot
    slots: Annotated[dict[SlotName, ReleaseName], FEW]
    releases: Annotated[tuple[Release, ...], MANY]
    base: ReleaseName
    lacks: Annotated[tuple[Count, ...], FILES]
    helper: HelperText
    previous: ReleaseName
    lock: Holder | None
    activating: bool
    serving: bool = True
    erts: Version = ""

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
        for line in self.helper.splitlines():
            match line.split():
                case ["memory", kilobytes]:
                    return int(kilobytes) * 1024
        return 0

    @property
    def maintenance(self) -> bool:
        """Whether the public port answers with the maintenance page."""
        return "maintenance on" in self.helper.splitlines()

    @property
    def helper_version(self) -> str:
        """The privileged helper's version, or empty where it does not answer."""
        first = self.helper.partition("\n")[0].split()
        return first[1] if len(first) == 2 and first[0] == "helper" else ""


def sifted(said: Any) -> list[str]:
    """Take out of an answer what files on the host say that are not as they were written; a sentence about each.

    A release beside which no description lies must not keep everybody from the host, nor a lock that nobody can read:
    the first counts as failed, of the second nobody is known to hold it.
    """
    if not isinstance(said, dict):
        return []
    complaints = []
    releases = said.get("releases")
    for release in releases if isinstance(releases, list) else []:
        if isinstance(release, dict):
            try:
                msgspec.convert(release.get("artifact"), About)
            except msgspec.ValidationError as mismatch:
                what = f"what lies beside the release {release.get('name')!s:.20} is no description of one"
                complaints.append(f"{what} ({explained(str(mismatch))}); it counts as failed")
                release.update(artifact={}, mark="failed")
    for key in ("lock", "before", "holder"):
        if isinstance(text := said.get(key), str):
            said[key] = _holder(text) if text else None
    return complaints


def _holder(text: str) -> Any:
    """Who holds a lock, of the line that the lock's file has."""
    try:
        return msgspec.to_builtins(msgspec.json.decode(text, type=Holder))
    except (msgspec.DecodeError, RecursionError):
        return {"who": "somebody", "why": "its file says not who", "since": "a time that is not known"}
