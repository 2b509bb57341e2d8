"""The virtual environment of the peers that come from PyPI, separate from this project's packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent / ".cache" / "bench" / "venv"


def program(name: str) -> str:
    """Return the path of one of its programs; `script/bench` has installed it."""
    return str(VENV / "bin" / name)


def version(package: str) -> str:
    """Return the version of a package there."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run((program("python"), "-c", asked), check=True, capture_output=True, text=True).stdout.strip()
