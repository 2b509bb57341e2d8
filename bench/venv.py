"""The virtual environment of the peers that come from PyPI: their own, so that nothing of this project's is theirs."""

from __future__ import annotations

import subprocess
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent / ".cache" / "bench" / "venv"


def program(name: str) -> str:
    """The path of one of its programs; `script/bench` has installed it."""
    return str(VENV / "bin" / name)


def version(package: str) -> str:
    """The version of a package there."""
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run((program("python"), "-c", asked), check=True, capture_output=True, text=True).stdout.strip()
