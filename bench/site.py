"""A site of a measurement: hosts of a lab, and the network between them and us."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from warpbeam.event import silent
from warpbeam.lab import lifetime
from warpbeam.lab.cgroup import groups
from warpbeam.lab.client import config_file, key_file
from warpbeam.lab.network import addresses, host_link
from warpbeam.lab.state import HostSpec, Lab

T = TypeVar("T")
BUILD_HOST = "build1"
# Seconds for any unmeasured command on a host.
PATIENCE = 300


class Site(msgspec.Struct, frozen=True):
    """Some hosts of a lab, as the peers see them.

    `addresses` are the hosts' own, whatever the network; `links` are this machine's ends of their cables; `gauges` are
    the files with their processor time; `ssh_config` leads over the measured network.
    """

    lab: str
    network: str
    hosts: tuple[str, ...]
    addresses: dict[str, str]
    links: tuple[str, ...]
    gauges: tuple[Path, ...]
    ssh_config: Path
    known_hosts: Path
    key: Path
    scratch: Path

    @property
    def name(self) -> str:
        """A name that is unique among the sites of a run, and fit for a file name."""
        return f"{self.network}-{len(self.hosts)}"


def boot(lab: str, count: int, opt_size: int) -> Lab:
    """Boot the lab: a build host and `count` others, as far as they do not run.

    Each is of the kind that has Python, because Ansible's modules need Python on their hosts.
    """
    specs = (HostSpec(name, "build") for name in (BUILD_HOST, *host_names(count)))
    return lifetime.up(lab, tuple(specs), "bookworm", silent, opt_size)


def host_names(count: int) -> tuple[str, ...]:
    """Return the names of the hosts to deploy to."""
    return tuple(f"web{number}" for number in range(1, count + 1))


def own_addresses(lab: Lab, names: Sequence[str]) -> dict[str, str]:
    """Return the IPv4 address of each host, by its name."""
    return {name: addresses(lab, lab.member(name))[0] for name in names}


def cables(lab: Lab, names: Sequence[str]) -> tuple[str, ...]:
    """Return this machine's end of each host's cable; only traffic of that host passes there."""
    return tuple(host_link(lab, lab.member(name)) for name in names)


def gauges(lab: Lab, names: Sequence[str]) -> tuple[Path, ...]:
    """Return the file of each host's control group that has its processor time (cgroups(7), cpu.stat)."""
    return tuple(file for name in names for group in groups(lab.name, name) if (file := group / "cpu.stat").exists())


def on_each(site: Site, work: Callable[[str], T]) -> dict[str, T]:
    """Do `work` for each host of the site, some at a time; raise the exception of the first host that fails."""
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(site.hosts, pool.map(work, site.hosts), strict=True))


def as_root(site: Site, script: str) -> None:
    """Run a bash script as root on each host of the site, over the lab's own network.

    Raises:
        CalledProcessError: the script failed on a host; its errors have gone to stderr.
    """
    config = str(config_file(site.lab))

    def one(host: str) -> None:
        argv = ("ssh", "-F", config, "-o", "ConnectTimeout=30", "-T", host, "sudo -n bash -euo pipefail -s")
        subprocess.run(argv, input=script, text=True, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)

    on_each(site, one)


def lab_key(lab: str) -> Path:
    """Return the key that may log in to every host."""
    return key_file(lab)
