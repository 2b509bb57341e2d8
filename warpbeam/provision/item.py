"""One thing that a host should have: a user, a directory, a file."""

from __future__ import annotations

import hashlib

import msgspec


class User(msgspec.Struct, frozen=True):
    """A user with a group of its own name; `login` is whether it may log in.

    At a login systemd would start a manager for it, which reads all that it ships for users and can keep timers and
    services of theirs: none of ours needs one, so none is let start.
    """

    name: str
    home: str
    login: bool


class Directory(msgspec.Struct, frozen=True):
    """A directory. What lies below another user's directory is made as that user, never as root."""

    path: str
    mode: str
    owner: str
    group: str


class File(msgspec.Struct, frozen=True):
    """A file and its whole content. `secret`: its content must not be shown.

    Of an environment file, `clear` names the variables whose values may be shown.
    """

    path: str
    content: str
    mode: str = "644"
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    clear: tuple[str, ...] | None = None
    # What must happen when it changes: nothing, systemd reads its units again, the helper reconciles, or the app is
    # restarted (by a person).
    needs: str = ""

    @property
    def sha256(self) -> str:
        """Of its content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()
