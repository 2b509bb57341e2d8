"""Facts: a host's answer about itself and the app on it, from which a command plans."""

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
    AppVersion,
    Count,
    EpochSeconds,
    HelperVersion,
    Inodes,
    Label,
    Libc,
    Library,
    LiveSlot,
    Machine,
    MixName,
    ObjectId,
    Port,
    ReleaseName,
    Sha256,
    SlotName,
    StateName,
    Text,
    Version,
    explained,
)

Mark = Literal["new", "healthy", "failed", "withdrawn"]


class About(msgspec.Struct, frozen=True):
    """The description of a release on a host; the upload writes it beside the release.

    `release` is Mix's name of the release; empty where an older Warpbeam uploaded it, which did not record the name.
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
        """The abbreviated commit, marked `dirty` where uncommitted changes went into the build."""
        return f"{self.commit[:8]}{', dirty' if self.dirty else ''}"


def about(artifact: Artifact) -> About:
    """Return the description of `artifact` that a host keeps beside its release."""
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
    """An artifact unpacked on a host. `name` is a UTC time, so names sort by time.

    `mark`: `withdrawn` was rolled back from, the last activation of `failed` failed, `healthy` was live, `new` is none
    of these; the first that fits counts.
    """

    name: ReleaseName
    mark: Mark
    artifact: About

    @property
    def is_good(self) -> bool:
        """Whether a rollback may go there by itself, as `is_good` of warpbeam/host/release_rules.sh has it."""
        return self.mark == "healthy"

    @property
    def label(self) -> str:
        """The version and short commit, for people; the release's name where its description cannot be read."""
        if not self.artifact.version:
            return f"{self.name} (unknown)"
        return f"{self.artifact.version} ({self.artifact.short_commit})"


def named(releases: Iterable[Release], name: str) -> Release | None:
    """Return the release of that name, or None where `releases` has none."""
    return next((release for release in releases if release.name == name), None)


class Holder(msgspec.Struct, frozen=True):
    """The holder of a deploy lock, in words."""

    who: Text = ""
    why: Text = ""
    since: Text = ""
    version: Text = ""

    def __str__(self) -> str:
        what = f"{self.why} {self.version}".strip()
        return f"{self.who} since {self.since} ({what})"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """The instance in a slot; `pid` is 0 where nothing runs.

    `restarts` is how often systemd started it again. `age` and `ended_ago` are seconds since it started, and since an
    instance last ended in this slot; None where there is none. `memory` is in bytes. `release` is the one that the
    process was started in; `version` is the app's own word.
    """

    state: StateName = ""
    substate: StateName = ""
    pid: Count = 0
    restarts: Count = 0
    started: EpochSeconds = 0
    age: Count | None = None
    ended_ago: Count | None = None
    memory: Count = 0
    release: ReleaseName = ""
    version: AppVersion = ""


class HelperAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the privileged helper's verbs `ready` and `status`; `version` is empty where it does not answer.

    `memory` is that of the live instance, in bytes, where `ready` was asked for it. Only `status` has `redirect`, the
    ports to which the public ports lead, and `slots`.
    """

    version: HelperVersion
    activating: bool
    maintenance: bool
    memory: Count = 0
    redirect: Annotated[tuple[Port, ...], FEW] = ()
    slots: Annotated[dict[SlotName, Instance], FEW] = {}


class HostFacts(msgspec.Struct, frozen=True):
    """A host's answer to a claim. Sizes are in bytes; `inodes` is -1 where the file system does not count them.

    `lacks` has the indices of the artifact's files that the host has not; `serving`: the live slot has an instance.
    `erts` is the version of the host's own Erlang VM, or `none`; empty where the artifact brings its own VM.
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
    helper: HelperAnswer
    previous: ReleaseName
    lock: Holder | None
    activating: bool
    serving: bool = True
    erts: Version = ""

    @property
    def live_release(self) -> Release | None:
        """The release that `current` leads to; None where that is not on the host."""
        return self.find(self.slots.get(self.live, ""))

    def find(self, name: str) -> Release | None:
        """Return the release of that name; None where it is not on the host."""
        return named(self.releases, name)


def sifted(said: Any) -> list[str]:
    """Replace, in an answer, what comes from unreadable files on the host; return a sentence about each release.

    A release without a readable description must not block the host, and neither must an unreadable lock: the release
    counts as failed, and the lock's holder as unknown.
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
    """Return the holder of a lock, read from the line of the lock's file."""
    try:
        return msgspec.to_builtins(msgspec.json.decode(text, type=Holder))
    except (msgspec.DecodeError, RecursionError):
        return {"who": "somebody", "why": "its file says not who", "since": "a time that is not known"}
