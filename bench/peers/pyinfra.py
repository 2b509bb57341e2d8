"""pyinfra from PyPI. See configuration/pyinfra."""

from __future__ import annotations

from functools import partial

import msgspec

from bench.measurement import Command
from bench.peer import CONFIGURATION, Peer, empty, ready, tidy
from bench.release import Release
from bench.site import Site
from bench.venv import program, version

PORT = 4103


def command(site: Site, release: Release, live: Release | None, name: str) -> Command:
    """Return `pyinfra -y INVENTORY DEPLOY`."""
    where = CONFIGURATION / "pyinfra"
    given = {
        "hosts": site.hosts,
        "ssh_config": str(site.ssh_config),
        "key": str(site.key),
        "known_hosts": str(site.known_hosts),
        "tarball": str(release.tarball),
        "release": name,
        "port": PORT,
    }
    return Command(
        (program("pyinfra"), "-y", str(where / "inventory.py"), str(where / "deploy.py")),
        site.scratch,
        {"BENCH_SITE": msgspec.json.encode(given).decode()},
    )


PEER = Peer(
    name="pyinfra",
    port=PORT,
    version=partial(version, "pyinfra"),
    ready=partial(ready, name="pyinfra", port=PORT),
    empty=partial(empty, name="pyinfra"),
    command=command,
    tidy=partial(tidy, name="pyinfra"),
)
