"""The OS packages that asdf and mise need on a build host to download an Erlang and to compile it."""

from __future__ import annotations

from collections.abc import Mapping

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


def compiles(inventory: Inventory, host: Host) -> bool:
    """Return whether setup installs `COMPILER` on `host`."""
    return inventory.build.install and "build" in host.roles


def asked_packages(packages: tuple[str, ...], *, compiler: bool) -> tuple[str, ...]:
    """Return the packages whose state a host is asked for: before its answer, its installer is not known."""
    return (*packages, *(name for names in COMPILER.values() for name in names if compiler))


def wanted_packages(packages: tuple[str, ...], installer: str, *, compiler: bool) -> tuple[str, ...]:
    """Return the packages that a host with this installer should have; one without any is missing those of apt."""
    return (*packages, *(COMPILER.get(installer, COMPILER["apt"]) if compiler else ()))
