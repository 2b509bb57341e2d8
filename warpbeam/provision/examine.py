"""What `warpbeam/provision/examine.sh` sees of a host, as data."""

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
    """Files the live instance has open and may have, connections the kernel tracks and may track; 0: not known."""

    opened: Count
    may_open: Count
    tracked: Count
    may_track: Count


class Listener(msgspec.Struct, frozen=True):
    """A TCP socket that listens, the control group (a unit's name) of who holds it, and the user's number."""

    port: Port
    address: Label
    program: Text
    unit: Text
    uid: Count = 0


class Table(msgspec.Struct, frozen=True):
    """An nftables table as the kernel would make it of `file`, and as it has it."""

    table: Label
    file: Label
    wants: LongText
    has: LongText


class Login(msgspec.Struct, frozen=True):
    """A user who may log in, by means of a key or a password."""

    name: Word
    means: Label


class Call(msgspec.Struct, frozen=True):
    """What came of calling a node: `yes`, `refused` (none listens there), or `silence`."""

    address: Label
    port: Port
    says: Word


class Examination(msgspec.Struct, frozen=True):
    """What `warpbeam/provision/examine.sh` saw; `secrets` and `cookie` are masked, or None where the file is missing.

    `uid` is the app's user's; `binds`: systemd can keep the app to its own ports; `shown`: the arguments of the live
    instance have a cookie.
    `writable` names something of a release that others than its owner may write, with its mode; empty: there is none.
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
    # The live instance: whether it runs; where its node has peers, its connections, whether it knows the ports
    # of nodes in the other slot, and what came of calling others from there.
    runs: bool = False
    links: Links = ()
    finds: bool = True
    calls: Annotated[tuple[Call, ...], MANY] = ()
