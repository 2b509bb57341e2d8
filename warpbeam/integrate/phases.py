"""The phases of a bundle: those of a deploy, with what a host decides by itself, and the program that runs them."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.deploy.lock import Claim
from warpbeam.host.answer import Count, ObjectId, ReleaseName, Version, Word
from warpbeam.host.phase import Done, Phase
from warpbeam.operate.status import ReadStatus


class Decision(msgspec.Struct, frozen=True):
    """The answer of `Decide`: what a bundle does on a host.

    `going` is the release that goes live; `upload`: it has to be made; `activate`: it has to start; `why` is the word
    for the history. `before` is what is live, with its version and commit.
    """

    going: ReleaseName
    upload: bool
    activate: bool
    why: Word
    before: ReleaseName
    before_version: Version = ""
    before_commit: ObjectId = ""
    before_dirty: bool = False


class Decide(Claim, frozen=True, kw_only=True):
    """Claim a host, and decide there what is to be done; the heads of the scripts explain the fields."""

    script: ClassVar[str] = "integrate/decide"
    parts: ClassVar[tuple[str, ...]] = (*Claim.parts, "deploy/claim", "integrate/fitness")
    answer: ClassVar[type] = Decision
    release: str
    made_digest: str
    helper_version: str
    made_cpu: str
    made_libc: str
    made_os: str
    made_libcrypto: str
    made_erts: str
    files_size: Count
    files_count: Count


class Serves(ReadStatus, frozen=True, kw_only=True):
    """Read the status of a host, and say whether the release that went live serves."""

    script: ClassVar[str] = "integrate/serves"
    parts: ClassVar[tuple[str, ...]] = (*ReadStatus.parts, "operate/status")
    answer: ClassVar[type] = Done
    release: str


class Hook(Phase[None], frozen=True, kw_only=True):
    """The program of a bundle; the head of `warpbeam/integrate/hook.sh` explains its fields.

    The fields that end in `_text` are the texts of phases, as `text_of` makes them, with fields left out.
    """

    script: ClassVar[str] = "integrate/hook"
    parts: ClassVar[tuple[str, ...]] = (
        "host/common",
        "integrate/told",
        "integrate/perform",
        "integrate/deployment",
    )
    root: str
    label: str
    entry: tuple[str, ...]
    digest: str
    signature: str
    wait: int
    lease: int
    gap: int
    pause_before: float
    migrate_group: str
    claim_text: str
    upload_text: str
    verify_text: str
    sign_text: str
    admit_text: str
    migrate_text: str
    activate_text: str
    job_text: str
    serves_text: str
    note_text: str
    finish_text: str
    unlock_text: str
    renew_text: str


class AsDeploy(Phase[None], frozen=True, kw_only=True):
    """The program that becomes the deploy user and runs `Hook`."""

    script: ClassVar[str] = "integrate/as_deploy"
    parts: ClassVar[tuple[str, ...]] = ()
    user: str
