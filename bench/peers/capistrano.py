"""Capistrano, as Debian packages it. See configuration/capistrano."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial

from bench.measurement import Command
from bench.peer import CONFIGURATION, Peer, empty, ready, tidy
from bench.release import Release
from bench.site import Site

PORT = 4101


def version() -> str:
    """Return Capistrano's version."""
    said = subprocess.run(("cap", "--version"), check=True, capture_output=True, text=True).stdout
    return said.split()[2]


def command(site: Site, release: Release, live: Release | None, name: str) -> Command:
    """Return `cap bench deploy` in a copy of the configuration, because cap writes a log beside it."""
    directory = site.scratch / "capistrano"
    shutil.copytree(CONFIGURATION / "capistrano", directory, dirs_exist_ok=True)
    return Command(
        ("cap", "bench", "deploy"),
        directory,
        {
            "BENCH_HOSTS": ",".join(site.hosts),
            "BENCH_SSH_CONFIG": str(site.ssh_config),
            "BENCH_KNOWN_HOSTS": str(site.known_hosts),
            "BENCH_KEY": str(site.key),
            "BENCH_TARBALL": str(release.tarball),
            "BENCH_REVISION": f"{release.ref}-{name}",
            "BENCH_PORT": str(PORT),
            "LC_ALL": "C.UTF-8",
        },
    )


PEER = Peer(
    name="capistrano",
    port=PORT,
    version=version,
    ready=partial(ready, name="capistrano", port=PORT),
    empty=partial(empty, name="capistrano"),
    command=command,
    tidy=partial(tidy, name="capistrano"),
)
