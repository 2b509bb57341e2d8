"""Podman on the build host of a lab, which has no network, and an image of that host's own Elixir.

The packages are those of Debian that the host does not have. This machine's apt downloads them once into .cache.
"""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import PROJECT, LabEnvironment
from tests.lab import LabHandle
from tests.timeouts import COMMAND
from warpbeam.lab.rootfs import _own_sources

IMAGE = "localhost/elixir:1"
# Makes the files below $d by which a system says what it is.
SYSTEM = r"""
printf '#!/bin/sh\necho glibc LIBC\n' >$d/own-getconf && chmod 755 $d/own-getconf
printf 'ID=debian\nVERSION_ID=NUMBER\nPRETTY_NAME="System NUMBER"\n' >$d/own-release
"""
# Moves the tag to an image of another system.
MOVE = f"""
set -e
c=$(podman create {IMAGE} sh) d=$(mktemp -d)
{SYSTEM}
podman cp $d/own-getconf $c:/usr/bin/getconf && podman cp $d/own-release $c:/usr/lib/os-release
podman commit --quiet $c {IMAGE}
podman rm $c
rm -r $d
"""
HOST = "build1"
PACKAGES = ("podman", "crun", "uidmap", "catatonit")
# Packages that podman depends on, and that a container on the host's network has no use for: half of the bytes.
NEEDLESS = ("gnupg", "gpg", "dirmngr", "pinentry", "containernetworking", "iptables", "libip6tc", "libnf")
# The storage must be on a real file system: overlayfs does not take an overlayfs for its upper directory, which the
# rest of a lab's host is on. systemd-nspawn lets nothing in the host make a keyring.
SETTINGS = """
mkdir -p ~/.config/containers
printf '[storage]\\ndriver = "overlay"\\ngraphroot = "/opt/containers"\\n' >~/.config/containers/storage.conf
printf '[containers]\\nkeyring = false\\n' >~/.config/containers/containers.conf
"""
# Makes the image of what a build needs of the host's own system, and no more: podman copies every byte twice. By its
# own word it is another system, with an older C library: the last two files of the archive.
IMPORT = f"""
d=$(mktemp -d)
{SYSTEM}
tar -C / --one-file-system --ignore-failed-read --exclude='*perl*' --exclude='libnode*' --exclude='libicu*' \\
  --exclude=systemd --exclude=gconv --exclude='*.a' --exclude=podman --exclude='python3*' --exclude='git*' \\
  --exclude=scalar --exclude=usr/bin/getconf --exclude=usr/lib/os-release \\
  --transform='s|^own-getconf|usr/bin/getconf|;s|^own-release|usr/lib/os-release|' \\
  --exclude='usr/lib/erlang/lib/*/src' -c bin lib lib64 sbin usr/bin usr/sbin usr/lib64 \\
  usr/lib/erlang usr/lib/elixir usr/lib/ssl usr/lib/x86_64-linux-gnu etc/alternatives etc/ssl etc/os-release \\
  etc/ld.so.cache etc/ld.so.conf etc/nsswitch.conf etc/group -C $d own-getconf own-release 2>/dev/null |
  podman import --quiet - {IMAGE} || exit
rm -r $d
"""
REMOVE = """
sudo pkill -KILL -u deploy; sudo rm -rf /opt/containers /home/deploy/.config/containers /run/user/$(id -u deploy)/libpod
sudo dpkg --purge --force-depends $(cat /var/lib/podman-packages) >/dev/null 2>&1
"""


@pytest.fixture(scope="module")
def podman(environment: LabEnvironment) -> Iterator[None]:
    """The build host has podman meanwhile, and the deploy user an image with Elixir."""
    lab = environment.lab
    put_podman(lab)
    lab.ssh(HOST, "sudo install -d -o deploy -g deploy /opt/containers")
    as_deploy(lab, SETTINGS)
    as_deploy(lab, of_system(IMPORT, "2.0", 11))
    try:
        yield
    finally:
        lab.ssh(HOST, REMOVE, check=False)


def of_system(command: str, libc: str, number: int) -> str:
    """A command that makes an image with that glibc and that number of the system, both by its own word."""
    return command.replace("LIBC", libc).replace("NUMBER", str(number))


def as_deploy(lab: LabHandle, command: str, *, check: bool = True) -> str:
    """Run a command as the deploy user logged in; return its output."""
    return lab.ssh(HOST, command, "deploy", check=check).stdout


def put_podman(lab: LabHandle) -> None:
    """Install podman."""
    packed = io.BytesIO()
    files = packages(lab)
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file in files:
            archive.add(file, file.name)
    names = " ".join(sorted({file.name.partition("_")[0] for file in files}))
    command = f"""sudo bash -c 'mkdir /run/debs && base64 -d | tar -x -C /run/debs
        echo {names} >/var/lib/podman-packages
        DEBIAN_FRONTEND=noninteractive dpkg --install --force-depends /run/debs/*.deb; rm -r /run/debs'"""
    lab.ssh(HOST, f"type podman >/dev/null 2>&1 || {command}", stdin=base64.b64encode(packed.getvalue()).decode())


def packages(lab: LabHandle) -> list[Path]:
    """The packages that the host needs for podman, downloaded once into .cache."""
    kept = PROJECT / ".cache" / f"podman-{lab.suite}"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as draft:
            download(lab, Path(draft))
            (Path(draft) / "archives").rename(kept)
    return [file for file in sorted(kept.glob("*.deb")) if not file.name.startswith(NEEDLESS)]


def download(lab: LabHandle, directory: Path) -> None:
    """Download with this machine's apt, as if it were the host's, into directory/archives."""
    for name in ("lists/partial", "archives/partial"):
        (directory / name).mkdir(parents=True)
    (directory / "status").write_text(lab.ssh(HOST, "cat /var/lib/dpkg/status").stdout)
    (directory / "sources.list").write_text(_own_sources(lab.suite))
    settings = {
        "Dir::State::status": "status",
        "Dir::State::lists": "lists",
        "Dir::Cache::archives": "archives",
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "none",
    }
    options = [word for name, path in settings.items() for word in ("-o", f"{name}={directory / path}")]
    options += ["-o", "APT::Sandbox::User=root", "-q", "-y"]
    for words in (["update"], ["install", "--download-only", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *options, *words], check=True, capture_output=True, timeout=COMMAND)
