"""A request to `fab init`, and the names that come of it: each is checked before anything is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from warpbeam.error import Misuse
from warpbeam.init.repository import App
from warpbeam.inventory import reserved
from warpbeam.inventory.names import Address, AppName, OrgName

# Addresses for documentation (RFC 5737): nothing answers there.
BUILD_HOST, APP_HOST = "192.0.2.5", "192.0.2.10"
PLACEHOLDER = re.compile(r"\b192\.0\.2\.\d+|\b[\w-]+\.example\.com\b")


class InitRequest(msgspec.Struct, frozen=True):
    """A request to write the first files of `project`, the directory of fabfile.py, for the app in `source`.

    `inventories` is the directory of environments. `org` and the addresses are empty where they were not given.
    """

    project: Path
    source: Path
    inventories: Path
    org: str = ""
    app_hosts: tuple[str, ...] = ()
    build_host: str = ""

    @property
    def inventory(self) -> Path:
        """The file of the environment."""
        return self.inventories / "production.yml"


class Names(msgspec.Struct, frozen=True):
    """The names that an inventory has: of the organization, the app and its release."""

    org: str
    app: str
    release: str


def choose_names(request: InitRequest, app: App) -> Names:
    """Return the names for the inventory of `app`.

    Raises:
        Misuse: a name or an address that was given, or that mix.exs has, cannot be one of an inventory.
    """
    for address in (*request.app_hosts, request.build_host):
        if address:
            _check(address, Address, "an address of a host", "such as 192.0.2.10 or web1.example.com")
    file = app.directory / "mix.exs"
    if not app.release:
        raise Misuse(f"{file} names neither an app nor a release", "expected `app: :my_app` in it")
    _check(app.release, AppName, f"the name of the release in {file}", "name a release in `releases:` of mix.exs")
    name = app.name if _fits(app.name, AppName) else app.release
    if name in reserved.APPS:
        # The operating system has a user, a unit or a directory of that name.
        name = f"{name}_app"
    if request.org:
        _check(request.org, OrgName, "--org", "give another one")
        if request.org in reserved.ORGS:
            raise Misuse(f"--org: /etc/{request.org} is the operating system's own", "give another one")
        return Names(request.org, name, app.release)
    owner = app.owner if _fits(app.owner, OrgName) and app.owner not in reserved.ORGS else name
    return Names(owner if owner not in reserved.ORGS else f"{owner}_org", name, app.release)


def _fits(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


def _check(text: str, kind: Any, what: str, hint: str) -> None:
    """Refuse a text that is no value of that kind. Raises: Misuse, with the kind's own description."""
    if not _fits(text, kind):
        expected = next(note.description for note in kind.__metadata__ if note.description)
        raise Misuse(f'{what}: expected {expected}, found "{text}"', hint)


def typed_path(text: str) -> Path:
    """Return the absolute path that a person typed, with ~ for a home directory. Raises: Misuse, where it is none."""
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError:
        raise Misuse(f"{text}: there is no such user on this machine") from None
