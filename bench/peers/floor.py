"""The floor: what the network, the disk and ssh cost by themselves. See configuration/floor/deploy.sh."""

from __future__ import annotations

import subprocess
from functools import partial

from bench.measurement import Command
from bench.peer import CONFIGURATION, Peer, empty, ready, tidy
from bench.release import Release
from bench.site import Site

PORT = 4104


def version() -> str:
    """Return the version of ssh, which does the work."""
    return subprocess.run(("ssh", "-V"), check=True, capture_output=True, text=True).stderr.split(",")[0]


def command(site: Site, release: Release, live: Release | None, name: str) -> Command:
    """Return the script that sends only the files that differ from `live`."""
    script = str(CONFIGURATION / "floor" / "deploy.sh")
    delta = [str(release.tree), str(live.manifest), str(release.manifest)] if live is not None else []
    return Command(
        ("bash", script, str(site.ssh_config), str(PORT), name, str(release.tarball), *delta, "--", *site.hosts),
        site.scratch,
    )


PEER = Peer(
    name="floor",
    port=PORT,
    version=version,
    ready=partial(ready, name="floor", port=PORT),
    empty=partial(empty, name="floor"),
    command=command,
    tidy=partial(tidy, name="floor"),
)
