"""Warpbeam on a host of the lab: a clone of this project there, as a CI runner or a machine by itself has it."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

from tests.environment import PROJECT, UV
from tests.lab import LabHandle
from tests.timeouts import LONG

# Fabric and what it needs; not the tools that only look at code.
LEFT_OUT = (
    *("mypy*", "ruff*", "hypothesis*", "*pytest*", "grimp*", "__pycache__", "lexers"),
    *("boto*", "moto*", "s3transfer*", "check_jsonschema*", "werkzeug*", "flask*"),
)


def send(lab: LabHandle, host: str, files: list[str], directory: Path, target: str) -> None:
    """Copy files (or a directory's, but for those left out) onto the host."""
    names = "\0".join(files)
    pack = ["tar", "-c", "-C", str(directory), *(f"--exclude={name}" for name in LEFT_OUT), "--null", "-T", "-"]
    packed = subprocess.run(pack, input=names.encode(), capture_output=True, check=True).stdout
    unpack = f"sudo mkdir -p {target} && sudo tar -x --no-same-owner -C {target}"
    subprocess.run(["ssh", "-F", str(lab.ssh_config), host, unpack], input=packed, check=True, timeout=LONG)


def packages_for(python: str, directory: Path) -> Path:
    """Install the packages of requirements.txt, for another Python than this one."""
    argv = [UV, "pip", "install", "--quiet", "--only-binary=:all:", "--require-hashes"]
    subprocess.run(
        [*argv, f"--python-version={python}", f"--target={directory}", "-r", str(PROJECT / "requirements.txt")],
        check=True,
    )
    return directory


def send_project(lab: LabHandle, host: str, home: str, scratch: Path) -> None:
    """Copy this project and its packages to `home` of the host; `scratch` is a directory on this machine."""
    python = lab.ssh(host, "python3 -c 'import sysconfig; print(sysconfig.get_python_version())'").stdout.strip()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    send(lab, host, [name for name in listed.split("\0") if name and (PROJECT / name).exists()], PROJECT, home)
    packages = Path(sysconfig.get_path("purelib"))
    if python != sysconfig.get_python_version():
        packages = packages_for(python, scratch)
    send(lab, host, ["."], packages, f"{home}/packages")
