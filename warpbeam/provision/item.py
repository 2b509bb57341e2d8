"""Things that a host should have: users, directories, files."""

from __future__ import annotations

import hashlib

import msgspec


class User(msgspec.Struct, frozen=True):
    """A user with a group of the same name; `login` is whether it may log in.

    At a login systemd would start a manager for the user. It would load all units for users, and could keep the user's
    own timers and services. Warpbeam's users need no manager, so setup masks it.
    """

    name: str
    home: str
    login: bool


class Directory(msgspec.Struct, frozen=True):
    """A directory. Below another user's directory it is made as that user, never as root."""

    path: str
    mode: str
    owner: str
    group: str


class File(msgspec.Struct, frozen=True):
    """A file and its whole content. `secret`: its content must not be shown.

    `clear` names the variables of an environment file whose values may be shown; None: the file is no such file.
    """

    path: str
    content: str
    mode: str = "644"
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    clear: tuple[str, ...] | None = None
    # Words for what a change of the file needs: a check before it (`verify`, `visudo`, `nft`), `daemon-reload` of
    # systemd, `reconcile` of the helper (`nft` needs it too), or a `restart` of the app (by a person).
    needs: str = ""

    @property
    def sha256(self) -> str:
        """The sha256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()
