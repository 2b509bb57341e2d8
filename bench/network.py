"""The networks of the bench: straight over the lab's bridge, and with a round trip of 40 ms."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from bench.site import BUILD_HOST, Site, cables, gauges, host_names, lab_key, own_addresses
from warpbeam.lab import machine
from warpbeam.lab.state import Lab

Network = Literal["loopback", "40ms"]
NETWORKS: tuple[Network, ...] = get_args(Network)
ROUND_TRIP = 0.040
SSH = 22


@contextmanager
def open_site(lab: Lab, network: Network, count: int, scratch: Path) -> Iterator[Site]:
    """Yield a site of `count` hosts and the build host over `network`; the route exists as long as the context."""
    names = (BUILD_HOST, *host_names(count))
    own = own_addresses(lab, names)
    if network == "loopback":
        yield _site(lab, network, count, {name: (own[name], SSH) for name in names}, scratch)
        return
    argv = (sys.executable, "-m", "bench.relay", str(ROUND_TRIP / 2), *(f"{own[name]}:{SSH}" for name in names))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout is not None
            ports = [int(word) for word in relay.stdout.readline().split()]
            ways = {name: ("127.0.0.1", port) for name, port in zip(names, ports, strict=True)}
            yield _site(lab, network, count, ways, scratch)
        finally:
            relay.terminate()


def _site(lab: Lab, network: Network, count: int, ways: Mapping[str, tuple[str, int]], scratch: Path) -> Site:
    own = own_addresses(lab, tuple(ways))
    directory = scratch / f"{network}-{count}"
    directory.mkdir(parents=True, exist_ok=True)
    config, known = directory / "ssh_config", directory / "known_hosts"
    key = lab_key(lab.name)
    blocks = [
        f"Host {name}\n    HostName {address}\n    Port {port}\n    HostKeyAlias {name}\n"
        for name, (address, port) in ways.items()
    ]
    rest = f"""\
Host *
    User admin
    IdentityFile {key}
    IdentitiesOnly yes
    BatchMode yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
"""
    config.write_text("\n".join([*blocks, rest]))
    lines = []
    for name, (address, port) in ways.items():
        kind, public = machine.host_key(lab, lab.member(name)).split()[:2]
        # Not every peer knows HostKeyAlias.
        lines.append(f"{name},{own[name]},[{address}]:{port} {kind} {public}\n")
    known.write_text("".join(lines))
    hosts = host_names(count)
    return Site(
        lab=lab.name,
        network=network,
        hosts=hosts,
        addresses={name: own[name] for name in hosts},
        links=cables(lab, tuple(ways)),
        gauges=gauges(lab, tuple(ways)),
        ssh_config=config,
        known_hosts=known,
        key=key,
        scratch=directory,
    )
