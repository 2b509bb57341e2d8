"""What `scripts/examine.sh` sees of a host, as data."""

from __future__ import annotations

import msgspec


class Disk(msgspec.Struct, frozen=True):
    """A file system. Sizes in bytes; `inodes` is 0 where it counts none."""

    mount: str
    size: int
    free: int
    inodes: int
    inodes_free: int


class Limits(msgspec.Struct, frozen=True):
    """Files the live instance has open and may have, connections the kernel tracks and may track; 0: not known."""

    opened: int
    may_open: int
    tracked: int
    may_track: int


class Listener(msgspec.Struct, frozen=True):
    """A TCP socket that listens, the control group (a unit's name) of who holds it, and the user's number."""

    port: int
    address: str
    program: str
    unit: str
    uid: int = 0


class Table(msgspec.Struct, frozen=True):
    """An nftables table as the kernel would make it of `file`, and as it has it."""

    table: str
    file: str
    wants: str
    has: str


class Login(msgspec.Struct, frozen=True):
    """A user who may log in, by means of a key or a password."""

    name: str
    means: str


class Seen(msgspec.Struct, frozen=True):
    """What `scripts/examine.sh` saw; `secrets` and `cookie` are masked, or None where the file is missing.

    `uid` is the app's user's; `binds`: systemd can keep the app to its own ports.
    `writable` names something of a release that others than its owner may write, with its mode; empty: there is none.
    """

    disks: tuple[Disk, ...]
    writable: str
    limits: Limits
    listeners: tuple[Listener, ...]
    tables: tuple[Table, ...]
    restarts: tuple[str, ...]
    logins: tuple[Login, ...]
    proc: str
    me: str
    secrets: str | None
    cookie: str | None
    reload: tuple[str, ...]
    live: str
    clock: str
    uid: int = 0
    binds: bool = True
