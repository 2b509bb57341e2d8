"""The answer of `warpbeam/doctor/examine.sh`, as data."""

from __future__ import annotations

from typing import Annotated

import msgspec

from warpbeam.host.answer import FEW, MANY, Clock, Count, Label, LiveSlot, LongText, Port, Text, Word
from warpbeam.network.cluster import Links


class Disk(msgspec.Struct, frozen=True):
    """A file system. Sizes in bytes; `inodes` is 0 where it counts none."""

    mount: Label
    size: Count
    free: Count
    inodes: Count
    inodes_free: Count


class Limits(msgspec.Struct, frozen=True):
    """Open files of the live instance and tracked connections of the kernel, each with its limit; 0: not known."""

    opened: Count
    may_open: Count
    tracked: Count
    may_track: Count


class Listener(msgspec.Struct, frozen=True):
    """A listening TCP socket; `unit` is the control group (a unit's name) of its process.

    `uid` is its user's number, `user` its user's name and number, for people.
    """

    port: Port
    address: Label
    program: Text
    unit: Text
    uid: Count = 0
    user: Label = ""


class Table(msgspec.Struct, frozen=True):
    """An nftables table: `wants` is how the kernel would load it from `file`, `has` is what the kernel has."""

    table: Label
    file: Label
    wants: LongText
    has: LongText


class Login(msgspec.Struct, frozen=True):
    """A user who may log in, by means of a key or a password."""

    name: Word
    means: Label


class Call(msgspec.Struct, frozen=True):
    """The result of calling a node: `yes`, `refused` (no node listens there), or `silence`."""

    address: Label
    port: Port
    says: Word


class Examination(msgspec.Struct, frozen=True):
    """The answer of `Examine`; `secrets` and `cookie` are masked, or None where the file is missing.

    `uid` is the number of the app's user. `binds`: systemd can keep the app to its own ports. `shown`: the arguments of
    the live instance contain a cookie. `writable` names a file of a release that users other than its owner may write,
    with its mode; empty: there is none.
    """

    disks: Annotated[tuple[Disk, ...], FEW]
    writable: Text
    limits: Limits
    listeners: Annotated[tuple[Listener, ...], MANY]
    tables: Annotated[tuple[Table, ...], FEW]
    restarts: Annotated[tuple[Text, ...], FEW]
    logins: Annotated[tuple[Login, ...], MANY]
    proc: Label
    me: Word
    secrets: LongText | None
    cookie: LongText | None
    reload: Annotated[tuple[Word, ...], FEW]
    live: LiveSlot
    clock: Clock
    uid: Count = 0
    binds: bool = True
    shown: bool = False
    # Whether the live instance runs. If nodes have peers: its connections, whether it finds nodes in the other slot,
    # and the results of calling other nodes from this host.
    runs: bool = False
    links: Links = ()
    finds: bool = True
    calls: Annotated[tuple[Call, ...], MANY] = ()
    # The signature of root's copy that the live slot starts; empty where releases are not admitted.
    signature: LongText = ""
