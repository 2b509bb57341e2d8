"""The difference between what a host has and what it should have, as data: setup can show it before it applies it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from warpbeam.error import Refused
from warpbeam.provision.compiler import wanted_packages
from warpbeam.provision.footprint import Footprint
from warpbeam.provision.host_state import HostState, PathState, UserState
from warpbeam.provision.item import Directory, File, User
from warpbeam.provision.keys import described, listed


class Difference(msgspec.Struct, frozen=True):
    """The changes that setup would make on one host; `reasons` say, for each path, what is wrong there."""

    packages: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    closed: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    evicted: tuple[User, ...] = ()
    unmanaged: tuple[str, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    absent: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    keys_added: tuple[str, ...] = ()
    keys_removed: tuple[str, ...] = ()
    unadmitted: str = ""
    discounted: tuple[str, ...] = ()
    reasons: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        people = (self.users, self.closed, self.opened, self.unmanaged)
        admission = (self.unadmitted, self.discounted)
        return any((self.packages, *people, self.directories, self.files, self.absent, self.units, *admission))

    def sentences(self) -> list[str]:
        """Return one line for each change, for people."""
        return [
            *(f"package {name} installed" for name in self.packages),
            *(f"user {user.name} made" for user in self.users),
            *(f"user {name} closed (ssh would let it in)" for name in self.closed),
            *(f"user {name} opened (a setup that did not end had shut it)" for name in self.opened),
            *(f"user {user.name}: whatever it runs is ended, since its keys change" for user in self.evicted),
            *(f"user {name} without a systemd of its own" for name in self.unmanaged),
            *(f"directory {item.path} {self._made(item)}" for item in self.directories),
            *(f"file {file.path} {self._made(file)}" for file in self.files),
            *(f"file {path} removed" for path in self.absent),
            *(f"deploy key added: {described(line)}" for line in self.keys_added),
            *(f"deploy key removed: {described(line)}" for line in self.keys_removed),
            *(f"unit {unit} enabled" for unit in self.units),
            *([f"the live release {self.unadmitted} admitted (root has no copy)"] if self.unadmitted else ()),
            *(f"the admitted copy of {name} removed (its signature does not count)" for name in self.discounted),
        ]

    def _made(self, item: Directory | File) -> str:
        return f"{item.mode} {item.owner}:{item.group} ({self.reasons[item.path]})"


def difference(want: Footprint, found: HostState, name: str) -> Difference:
    """Return what must change on host `name` so that it has `want`. Pure.

    Raises:
        Refused: something is there that setup must not change by itself (a user of another kind, a link), or packages
            are missing and the host has no installer for them.
    """
    _refuse_users(want, found, name)
    for directory in want.directories:
        there = found.paths.get(directory.path)
        if there is not None and there.kind != "directory":
            raise Refused(
                f"{directory.path} is a {there.kind}; expected a directory", "move it out of the way", host=name
            )
    packages = wanted_packages(want.packages, found.installer, kit=want.kit)
    uninstalled = tuple(dict.fromkeys(package for package in packages if package in found.uninstalled))
    if uninstalled and not found.installer:
        raise Refused(
            f"packages are not installed, and there is neither apt nor dnf: {', '.join(uninstalled)}",
            "install them by hand, or take them out of `packages`" + (" and build.install" if want.kit else ""),
            host=name,
        )
    items: tuple[Directory | File, ...] = (*want.directories, *want.files)
    reasons = {item.path: _wrong(item, found.paths.get(item.path)) for item in items}
    keys = next((file for file in want.files if file.path == want.keys), None)
    suspect = keys is not None and _suspect(keys, found)
    if keys is not None and suspect:
        reasons[keys.path] = reasons[keys.path] or "it was changed by hand"
    return Difference(
        packages=uninstalled,
        users=tuple(user for user in want.users if user.name not in found.users),
        closed=tuple(user.name for user in want.users if not user.login and _open(found.users.get(user.name))),
        opened=tuple(user.name for user in want.users if user.login and _shut(found.users.get(user.name))),
        evicted=_evicted(want, found) if suspect or f"{want.keys}2" in found.paths else (),
        unmanaged=tuple(user.name for user in want.users if user.login and _managed(found.users.get(user.name))),
        directories=tuple(item for item in want.directories if reasons[item.path]),
        files=tuple(file for file in want.files if reasons[file.path]),
        absent=tuple(path for path in want.absent if path in found.paths),
        units=tuple(unit for unit in want.units if unit not in found.enabled),
        unadmitted=found.unadmitted,
        discounted=found.discounted,
        reasons={path: reason for path, reason in reasons.items() if reason},
        **_keys(want, found),
    )


def _refuse_users(want: Footprint, found: HostState, name: str) -> None:
    for user in want.users:
        known = found.users.get(user.name)
        if known is None:
            continue
        if not user.login and not known.shell.endswith(("/nologin", "/false")):
            raise Refused(
                f"the app user {user.name} exists and may log in (shell {known.shell})",
                "choose another `users.app`, or give it the shell /usr/sbin/nologin",
                host=name,
            )
        if known.uid == "0":
            raise Refused(f"{user.name} is another name of root", "choose a user that is not", host=name)
        if user.login and known.home != user.home:
            raise Refused(
                f"the user {user.name} exists and lives in {known.home}; expected {user.home}",
                "choose another `users.deploy`: setup makes it",
                host=name,
            )


def _managed(known: UserState | None) -> bool:
    return known is None or known.manager


def _open(known: UserState | None) -> bool:
    return known is not None and not known.expired


def _shut(known: UserState | None) -> bool:
    return known is not None and known.shut


def _suspect(keys: File, found: HostState) -> bool:
    """Return whether a key is to be removed, or a key that setup does not know may have been in the file.

    The owner of such a key may take it out of the file before we read it, and put it back afterwards. So a file that
    differs from what setup last wrote, or that cannot be read, is suspect too.
    """
    there = found.paths.get(keys.path)
    if there is None:
        return False
    by_hand = bool(there.written) and there.sha256 != there.written
    wanted = listed(keys.content)
    # The host reads the checksum and the text one after the other: the file may change in between.
    unread = there.text is None or sha256(there.text.encode()).hexdigest() != there.sha256
    lost = unread or any(line not in wanted for line in listed(there.text or ""))
    return by_hand or (there.sha256 != keys.sha256 and lost)


def _evicted(want: Footprint, found: HostState) -> tuple[User, ...]:
    """Return the existing users whose keys setup manages: their processes are ended before the keys change."""
    return tuple(user for user in want.users if user.login and user.name in found.users)


def _keys(want: Footprint, found: HostState) -> dict[str, tuple[str, ...]]:
    """Return the lines of authorized_keys that setup adds and removes, as fields of a `Difference`."""
    file = next((file for file in want.files if file.path == want.keys), None)
    if file is None:
        return {}
    wanted = listed(file.content)
    there = found.paths.get(file.path)
    if there is None or there.sha256 == file.sha256:
        return {"keys_added": wanted if there is None else ()}
    old = listed(there.text or "")
    return {
        "keys_added": tuple(line for line in wanted if line not in old),
        "keys_removed": tuple(line for line in dict.fromkeys(old) if line not in wanted),
    }


def _wrong(want: Directory | File, found: PathState | None) -> str:
    """Return in words what is wrong at a path; empty when nothing is."""
    if found is None:
        return "it is not there"
    reasons = []
    if isinstance(want, File):
        if not found.kind.startswith("regular"):
            return f"it is a {found.kind}"
        if found.sha256 != want.sha256:
            by_hand = found.written and found.sha256 != found.written
            reasons.append("it was changed by hand" if by_hand else "its text differs")
    if (found.mode, found.owner, found.group) != (want.mode, want.owner, want.group):
        reasons.append(f"it is {found.mode} {found.owner}:{found.group}")
    return ", ".join(reasons)


def outdated(want: Footprint, found: HostState) -> tuple[str, ...]:
    """Return the files that are newer than the live instance, which needs a restart for them; empty if none runs. Pure.

    A file whose content setup is about to change counts; a file that changes its mode alone does not.
    """
    if not found.started:
        return ()

    def newer(file: File) -> bool:
        there = found.paths.get(file.path)
        return there is None or there.sha256 != file.sha256 or there.changed > found.started

    return tuple(file.path for file in want.files if "restart" in file.needs.split() and newer(file))
