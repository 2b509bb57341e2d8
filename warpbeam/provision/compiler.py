"""The OS packages of a build host: what asdf and mise need to compile an Erlang, or an engine for containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from warpbeam.inventory.schema import Host, Inventory

# By the program that installs them. The graphical and the ODBC parts of Erlang are left out: a release of a server has
# no use for them, and they would bring some hundred packages.
COMPILER: Mapping[str, tuple[str, ...]] = {
    "apt": (
        *("autoconf", "build-essential", "ca-certificates", "curl", "git", "libncurses-dev", "libssl-dev", "m4"),
        *("unzip", "xz-utils"),
    ),
    "dnf": (
        *("autoconf", "ca-certificates", "curl", "gcc", "gcc-c++", "git", "m4", "make", "ncurses-devel"),
        *("openssl-devel", "perl", "unzip", "xz"),
    ),
}
# Podman without root: user numbers of its own, a network beside the host's, and a first process for containers.
ENGINE: Mapping[str, tuple[str, ...]] = {
    "apt": ("podman", "crun", "uidmap", "slirp4netns", "catatonit"),
    "dnf": ("podman", "crun", "shadow-utils", "slirp4netns", "catatonit"),
}
Kit = Literal["", "compiler", "engine"]
KITS: Mapping[Kit, Mapping[str, tuple[str, ...]]] = {"": {"apt": ()}, "compiler": COMPILER, "engine": ENGINE}


def kit_of(inventory: Inventory, host: Host) -> Kit:
    """Return what setup installs on `host` for builds, with `build.install`.

    It does not install docker, whose users are as mighty as root.
    """
    build = inventory.build
    if not build.install or "build" not in host.roles:
        return ""
    if build.container is None:
        return "compiler"
    return "" if build.container.engine == "docker" else "engine"


def asked_packages(packages: tuple[str, ...], *, kit: Kit) -> tuple[str, ...]:
    """Return the packages whose state a host is asked for: before its answer, its installer is not known."""
    return (*packages, *(name for names in KITS[kit].values() for name in names))


def wanted_packages(packages: tuple[str, ...], installer: str, *, kit: Kit) -> tuple[str, ...]:
    """Return the packages that a host with this installer should have; one without any is missing those of apt."""
    return (*packages, *KITS[kit].get(installer, KITS[kit]["apt"]))
