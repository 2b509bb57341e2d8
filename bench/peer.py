"""A tool that deploys: what it is, and how it puts a release live on the hosts of a site."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.measurement import Command
from bench.release import PROJECT, Release
from bench.site import Site, as_root
from warpbeam.provision.unit import OPEN_FILES

CONFIGURATION = Path(__file__).parent / "configuration"
# Releases that `tidy` keeps, the live one included. Capistrano's own setting (five) stays.
KEPT = 3


class Peer(msgspec.Struct, frozen=True):
    """A tool that deploys.

    Parameters:
        port: the port on each host where the tool's app answers.
        version: returns the tool's version.
        ready: makes hosts ready for a first deploy, whatever is on them; not measured.
        empty: removes everything that the tool has deployed; not measured.
        command: returns the deploy of a release over the live one (or None), with a unique name.
        tidy: does what a user does now and then, such as removing old releases; not measured.
    """

    name: str
    port: int
    version: Callable[[], str]
    ready: Callable[[Site], None]
    empty: Callable[[Site], None]
    command: Callable[[Site, Release, Release | None, str], Command]
    tidy: Callable[[Site], None]


def root(name: str) -> str:
    """Return the directory that a peer deploys to: on the hosts' own disk, as with this project."""
    return f"/opt/{name}"


def sandbox() -> str:
    """Return the directives of this project's unit that are the same for every app."""
    text = (PROJECT / "templates" / "service.conf.j2").read_text().replace("{{ open_files }}", str(OPEN_FILES))
    lines = text.splitlines()
    return "\n".join(line for line in lines if re.match(r"[A-Z][A-Za-z]+=", line) and "{{" not in line)


def ready(site: Site, name: str, port: int) -> None:
    """Make a peer's directory, owned by the user that it logs in as, and the unit that it restarts."""
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
    """Remove everything that a peer has deployed."""
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
    """Remove a peer's archives, and its releases except the newest few."""
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
