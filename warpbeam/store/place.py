"""The place that `build.store` of an inventory names: a directory, a host, or a bucket of S3."""

from __future__ import annotations

import re
from pathlib import Path

from warpbeam.error import Misuse
from warpbeam.fleet.fleet import Fleet
from warpbeam.inventory.schema import Host
from warpbeam.shell import Shell
from warpbeam.store.s3 import S3Bucket
from warpbeam.store.shared import SharedStore
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.ssh_host import SshHost

# The forms are those of `StorePlace` in warpbeam/inventory/names.py, which has accepted the text.
SSH = re.compile(r"ssh://(?:(?P<user>[^@/]+)@)?(?P<host>[^@:/]+)(?::(?P<port>[0-9]+))?(?P<path>/.*)")
S3 = re.compile(r"s3://(?P<bucket>[^/]+)(?P<prefix>/.*)?")


def shared_store(fleet: Fleet) -> SharedStore | None:
    """Return the store that the inventory names, for the fleet's app; None where it names none. It connects to none."""
    inventory = fleet.inventory
    text, app = inventory.build.store, f"{inventory.org}-{inventory.app}"
    if text is None:
        return None
    if found := S3.fullmatch(text):
        return S3Bucket(text, found["bucket"], found["prefix"] or "", app, inventory.build.store_endpoint)
    if found := SSH.fullmatch(text):
        # /~/releases is below the home directory there, as in the URLs of git and curl.
        path = found["path"].removeprefix("/") if found["path"].startswith("/~/") else found["path"]
        shell = _shell(fleet, found["host"], found["user"], found["port"])
        return SshHost(text, shell, path, app, inventory.ssh.answer_timeout)
    return SharedDirectory(Path(text).expanduser(), app)


def needed_store(fleet: Fleet) -> SharedStore:
    """Return the store that the inventory names. Raises: Misuse, where it names none."""
    store = shared_store(fleet)
    if store is None:
        raise Misuse(
            f"{fleet.inventory.file}: no store for artifacts is named",
            "set `build: {store: ...}` to a directory, ssh://HOST/PATH or s3://BUCKET/PREFIX",
        )
    return store


def _shell(fleet: Fleet, name: str, user: str | None, port: str | None) -> Shell:
    """Return the connection to the host of a store: one of the inventory by its name there, or one of ssh's own."""
    known = fleet.inventory.all_hosts.get(name)
    if known is not None and not user and not port:
        return fleet.shell(known)
    host = Host(name=name, address=known.address if known else None, port=int(port) if port else None)
    return fleet.shell_beside(host, user)
