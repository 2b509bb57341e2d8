"""A tool that deploys: what it is, and how it is told to put a release live on the hosts of a site."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.measurement import Command
from bench.release import PROJECT, Release
from bench.site import Site, as_root

CONFIGURATION = Path(__file__).parent / "configuration"
# Besides the live one; what Capistrano keeps by itself is not touched.
KEPT = 3


class Peer(msgspec.Struct, frozen=True):
    """A tool.

    Parameters:
        port: where the app that it deploys answers on each host.
        version: asks for its version.
        ready: makes hosts ready for a first deploy, whatever is on them; not measured.
        empty: takes away all that it has deployed; not measured.
        command: the deploy itself: the release, and the one that is live or None.
        tidy: what somebody would do now and then, such as removing old releases; not measured.
    """

    name: str
    port: int
    version: Callable[[], str]
    ready: Callable[[Site], None]
    empty: Callable[[Site], None]
    command: Callable[[Site, Release, Release | None, str], Command]
    tidy: Callable[[Site], None]


def root(name: str) -> str:
    """Where a peer deploys to: on the hosts' own disk, as this project does."""
    return f"/opt/{name}"


def sandbox() -> str:
    """The directives of this project's unit that are the same for every app."""
    lines = (PROJECT / "templates" / "sandbox.conf.j2").read_text().splitlines()
    return "\n".join(line for line in lines if re.match(r"[A-Z][A-Za-z]+=", line) and "{{" not in line)


def ready(site: Site, name: str, port: int) -> None:
    """The directory of a peer, which the user that it logs in as owns, and the unit that it restarts."""
    unit = (CONFIGURATION / "app" / "peer.service").read_text()
    text = unit.format(name=name, root=root(name), port=port, sandbox=sandbox())
    as_root(
        site,
        f"""
        install -d -o admin -g admin {root(name)} {root(name)}/releases
        cat >/etc/systemd/system/{name}.service <<'UNIT'
{text}
UNIT
        systemctl daemon-reload
        systemctl -q enable {name}.service
        """,
    )


def empty(site: Site, name: str) -> None:
    """Nothing of a peer's is deployed any more."""
    where = root(name)
    as_root(
        site,
        f"""
        systemctl stop {name}.service
        rm -rf -- {where}/releases/* {where}/current {where}/shared {where}/revisions.log {where}/repo
        sync -f {where}
        """,
    )


def tidy(site: Site, name: str) -> None:
    """Remove releases and archives of a peer but the newest few."""
    where = root(name)
    as_root(
        site,
        f"""
        cd {where}/releases
        rm -f -- *.tar.gz
        live=$(basename "$(readlink -f ../current)")
        for old in $(ls -1t | grep -vFx "$live" | tail -n +{KEPT}); do rm -rf -- "$old"; done
        sync -f .
        """,
    )
