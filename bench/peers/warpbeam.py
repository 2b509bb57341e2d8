"""This project, as a user runs it: `fab ENV deploy`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.measurement import Command
from bench.peer import Peer
from bench.release import PROJECT, Release
from bench.site import BUILD_HOST, Site, as_root
from warpbeam.store.directory import DirectoryStore

ORG, APP, PORT = "bench", "hello", 80
FAB = str(Path(sys.executable).parent / "fab")
# By default this project changes one host first and then a quarter of them at a time, and watches each for three
# seconds after it is healthy. No peer does either, so both are off here: only then do the times compare.
AT_ONCE: dict[str, Any] = {"deploy": {"batch": "100%", "drain": 5, "keep": 3}, "health": {"settle": 0}}


def store() -> DirectoryStore:
    """Return the store of its artifacts."""
    return DirectoryStore(PROJECT / ".warpbeam" / "artifacts" / f"{ORG}-{APP}")


def source(scratch: Path) -> Path:
    """Return the path of the app's repository."""
    return scratch / "source"


def version() -> str:
    """Return the commit of this project."""
    argv = ("git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--exclude=*")
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def describe(site: Site) -> dict[str, str]:
    """Write the site's inventory; return the variable that makes `fab` find it."""
    directory = site.scratch / "inventory"
    directory.mkdir(exist_ok=True)
    settings = {
        "org": ORG,
        "app": APP,
        "source": str(source(site.scratch.parent)),
        "hosts": {**{name: {"roles": ["app"]} for name in site.hosts}, BUILD_HOST: {"roles": ["build"]}},
        "users": {"admin": "admin"},
        "ssh": {
            "config": str(site.ssh_config),
            "known_hosts": str(site.known_hosts),
            "identities": [str(site.key)],
            "connect_timeout": 60,
        },
        "deploy_keys": [f"{site.key}.pub"],
        **AT_ONCE,
    }
    (directory / "site.yml").write_text(json.dumps(settings))
    return {"WARPBEAM_INVENTORY": str(directory)}


def fab(site: Site, *words: str) -> Command:
    """Return `fab` with the site's inventory."""
    return Command((FAB, "site", *words), PROJECT, describe(site))


def run(site: Site, *words: str) -> None:
    """Run `fab`, unmeasured. Raises: RuntimeError, with its output, when it fails."""
    command = fab(site, *words)
    done = subprocess.run(
        command.argv, cwd=command.cwd, env={**os.environ, **command.env}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"fab {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")


def ready(site: Site) -> None:
    """Run `fab setup`."""
    run(site, "setup")


def empty(site: Site) -> None:
    """Remove everything that is deployed, and keep what `setup` made."""
    root = f"/opt/{ORG}/{APP}"
    as_root(
        site,
        f"""
        systemctl stop {APP}@a {APP}@b
        cd {root}
        rm -rf -- releases/* slots/* activation/* current lock history.jsonl
        sync -f .
        """,
    )


def command(site: Site, release: Release, live: Release | None, name: str) -> Command:
    """Return `fab deploy`, which finds out by itself what is live."""
    return fab(site, "deploy", "--ref", release.ref)


def tidy(site: Site) -> None:
    """Do nothing: a deploy prunes."""


PEER = Peer(name="warpbeam", port=PORT, version=version, ready=ready, empty=empty, command=command, tidy=tidy)
