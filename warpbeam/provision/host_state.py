"""The facts of a host as setup compares them with the footprint: the answer of `inspect.sh`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from warpbeam.host.answer import (
    FEW,
    LARGEST,
    MANY,
    AbsolutePath,
    BoundPort,
    Cookie,
    Count,
    FileMode,
    FileText,
    FoundSha256,
    HelperVersion,
    Label,
    Port,
    Sha256,
    StateName,
    Text,
    UserId,
    Word,
)
from warpbeam.provision.other_apps import OtherApp


class UserState(msgspec.Struct, frozen=True):
    """A user's entries in /etc/passwd, /etc/group and /etc/shadow.

    `groups` are the supplementary groups. Nobody can log in to an `expired` account; `shut` means that setup itself
    set that date. `manager`: systemd starts a manager for the user at a login, because that unit is not masked.
    """

    uid: UserId
    home: Label
    shell: Label
    group: Word
    groups: Annotated[tuple[Word, ...], FEW] = ()
    password: bool = False
    expired: bool = False
    shut: bool = False
    manager: bool = True


class PathState(msgspec.Struct, frozen=True):
    """The file, directory or link at a path.

    `written` is the sha256 of what setup last wrote there, when known; `changed` is when the content last changed, in
    seconds since the epoch; `text` is set only when it was asked for and differs.
    """

    kind: StateName
    mode: FileMode
    owner: Word
    group: Word
    sha256: FoundSha256
    written: Sha256 = ""
    changed: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] = 0
    text: FileText | None = None


class HostState(msgspec.Struct, frozen=True):
    """The facts of a host.

    `missing` are programs that setup needs; `installer` is the program that can install OS packages; `started` is when
    the live instance started, in seconds since the epoch, or 0; `helper` is the version that the helper answers to the
    deploy user; `belongs` is the environment that set up the host before, or empty; `rights` are the entries of
    `sudo -l` for the deploy user, `shared` the roots of other apps that it owns; `ssh` is the port that our connection
    came to, or 0; `bound` are the ports at which processes of the app's user listen, as `tcp:4001`, `allowed` the
    present unit's rules for them (`SocketBindAllow=`), and `binds` whether systemd can enforce such rules;
    `cookie_shown`: other users could read the cookie; `others` are the other apps that Warpbeam set up here.
    """

    missing: Annotated[tuple[Word, ...], FEW]
    users: Annotated[dict[Word, UserState], FEW]
    paths: Annotated[dict[AbsolutePath, PathState], FEW]
    enabled: Annotated[tuple[Word, ...], FEW]
    cookie: Cookie
    # OS packages that are not installed.
    uninstalled: Annotated[tuple[Word, ...], FEW] = ()
    installer: Literal["", "apt", "dnf"] = ""
    started: Count = 0
    helper: HelperVersion = ""
    belongs: Label = ""
    rights: Annotated[tuple[Text, ...], FEW] = ()
    shared: Annotated[tuple[AbsolutePath, ...], FEW] = ()
    ssh: Port = 0
    bound: Annotated[tuple[BoundPort, ...], MANY] = ()
    allowed: Annotated[tuple[Label, ...], FEW] = ()
    binds: bool = True
    cookie_shown: bool = False
    # Only where admission is on (docs/admission.md): the live release, if root has no copy of it to start, and the
    # copies that must not start any more, because their signatures do not count.
    unadmitted: Word = ""
    discounted: Annotated[tuple[Word, ...], FEW] = ()
    others: Annotated[tuple[OtherApp, ...], FEW] = ()
