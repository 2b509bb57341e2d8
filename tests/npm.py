"""npm on the build host of a lab, which has no network, and packages as npm has them.

Debian's package of npm needs 350 other packages. So the build host has Debian's Node.js and npm's own tarball, which
holds all that it needs; the npm of this machine fetches it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import PROJECT, LabEnvironment
from tests.lab import LabHandle
from tests.timeouts import COMMAND

# The newest that runs with the Node.js of Debian 12 (18).
VERSION = "10.9.9"
CACHE = PROJECT / ".cache"


REMOVE = "sudo rm -rf /usr/local/lib/npm /usr/local/bin/npm /opt/acme/hello/build/npm /opt/acme/hello/build/npm-ci"
PUT = "sudo bash -c 'mkdir -p /usr/local/lib/npm && base64 -d | tar -xz --strip-components=1 -C /usr/local/lib/npm"
PUT += " && ln -sf ../lib/npm/bin/npm-cli.js /usr/local/bin/npm'"


@pytest.fixture(scope="module")
def npm(environment: LabEnvironment) -> Iterator[None]:
    """The build host has npm meanwhile."""
    environment.lab.ssh("build1", REMOVE)
    put_npm(environment.lab, "build1")
    try:
        yield
    finally:
        environment.lab.ssh("build1", REMOVE)


def put_npm(lab: LabHandle, host: str) -> None:
    """Install npm on a build host."""
    lab.ssh(host, PUT, stdin=base64.b64encode(tarball().read_bytes()).decode())


def tarball() -> Path:
    """The tarball of npm, fetched once into .cache."""
    file = CACHE / f"npm-{VERSION}.tgz"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        argv = ["npm", "pack", f"npm@{VERSION}", "--silent", "--pack-destination", str(CACHE)]
        subprocess.run(argv, check=True, capture_output=True, timeout=COMMAND)
    return file


def package(name: str, script: str) -> bytes:
    """The tarball of version 1.0.0 of a package with one module."""
    about = json.dumps({"name": name, "version": "1.0.0", "main": "index.js"})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in (("package/package.json", about), ("package/index.js", script)):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def lock(wanted: dict[str, str], packed: dict[str, tuple[str, bytes]]) -> str:
    """The package-lock.json of an app that wants packages, each with where it is and its tarball."""
    packages: dict[str, object] = {"": {"name": "app", "dependencies": wanted}}
    for name, (place, content) in packed.items():
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        packages[f"node_modules/{name}"] = {"version": "1.0.0", "resolved": place, "integrity": integrity}
    return json.dumps({"name": "app", "lockfileVersion": 3, "requires": True, "packages": packages}, indent=2)
