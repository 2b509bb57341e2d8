"""What a host has, what it should have, and what must change: as data, so that it can be shown before it is done."""

from __future__ import annotations

import hashlib

import msgspec

from warpbeam.error import Refused
from warpbeam.provisioning.footprint import Directory, File, Footprint, User


class FoundUser(msgspec.Struct, frozen=True):
    """A user as /etc/passwd has it."""

    uid: str
    home: str
    shell: str
    group: str


class FoundPath(msgspec.Struct, frozen=True):
    """What lies at a path."""

    kind: str
    mode: str
    owner: str
    group: str
    sha256: str


class Found(msgspec.Struct, frozen=True):
    """A host's facts."""

    missing: tuple[str, ...]
    users: dict[str, FoundUser]
    paths: dict[str, FoundPath]
    enabled: tuple[str, ...]
    cookie: str


class Difference(msgspec.Struct, frozen=True):
    """What setup would change on one host."""

    users: tuple[User, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    units: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.directories or self.files or self.units)

    def sentences(self) -> list[str]:
        """One line a change, for people."""
        return [
            *(f"user {user.name}" for user in self.users),
            *(f"directory {item.path} {item.mode} {item.owner}:{item.group}" for item in self.directories),
            *(f"file {file.path} {file.mode} {file.owner}:{file.group}" for file in self.files),
            *(f"unit {unit} enabled" for unit in self.units),
        ]


def difference(want: Footprint, found: Found, name: str) -> Difference:
    """What must change on host `name` so that it has `want`. Pure.

    Raises:
        Refused: something is there that setup must not change by itself (a user of another kind, a link).
    """
    for user in want.users:
        known = found.users.get(user.name)
        if known is not None and not user.login and not known.shell.endswith(("/nologin", "/false")):
            raise Refused(
                f"{name}: the app user {user.name} exists and may log in (shell {known.shell})",
                "choose another `users.app`, or give it the shell /usr/sbin/nologin",
            )
    for directory in want.directories:
        there = found.paths.get(directory.path)
        if there is not None and there.kind != "directory":
            raise Refused(f"{name}: {directory.path} is a {there.kind}; expected a directory", "move it out of the way")
    return Difference(
        users=tuple(user for user in want.users if user.name not in found.users),
        directories=tuple(item for item in want.directories if not _same_directory(item, found.paths.get(item.path))),
        files=tuple(file for file in want.files if not _same_file(file, found.paths.get(file.path))),
        units=tuple(unit for unit in want.units if unit not in found.enabled),
    )


def _same_directory(want: Directory, found: FoundPath | None) -> bool:
    return found is not None and (found.mode, found.owner, found.group) == (want.mode, want.owner, want.group)


def _same_file(want: File, found: FoundPath | None) -> bool:
    return (
        found is not None
        and found.kind.startswith("regular")
        and (found.mode, found.owner, found.group) == (want.mode, want.owner, want.group)
        and found.sha256 == hashlib.sha256(want.content.encode()).hexdigest()
    )
