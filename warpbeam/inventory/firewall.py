"""The keys for public ports and the firewall: their types, and nftables' text for their networks.

An empty list of networks never means "from anywhere": that is written 0.0.0.0/0 and ::/0.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.names import AppPort, Port

# The pattern checks only the characters; warpbeam.inventory.conflicts checks the rest with `ipaddress`.
Network = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?\Z",
        description="an IP network such as 192.0.2.0/24 or 2001:db8::/32",
    ),
]
Networks = Annotated[
    tuple[Network, ...],
    Meta(min_length=1, description="a list of at least one network, such as 192.0.2.0/24"),
]
AcceptedPort = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]{0,4}/(tcp|udp)\Z", description="a port and its protocol, such as 9100/tcp"),
]
# nft(8), "limit" statement.
Rate = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,5}/(second|minute|hour)\Z",
        description="a rate of connections, such as 100/minute (or /second, /hour)",
    ),
]
ANYWHERE = ("0.0.0.0/0", "::/0")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


class PublicPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further public port: clients connect to `public`; the instance of each slot listens on a port of its own."""

    public: Port
    slots: tuple[AppPort, AppPort]


class Firewall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules for what may reach the hosts. Without `filter` and `limit`, Warpbeam only redirects ports.

    `limit` and `burst` restrict new connections of one source to the public ports; `exempt` networks have no limit.
    `confirm` is how many seconds new rules stay in force unless a new ssh connection comes through them.
    `tracked` is how many connections the kernel can track at once.
    """

    filter: bool = False
    ssh: Networks = ANYWHERE
    accept: dict[AcceptedPort, Networks] = {}
    limit: Rate | None = None
    burst: Annotated[int, Meta(ge=1, le=100_000, description="a number of connections from 1 to 100000")] = 10
    exempt: tuple[Network, ...] = ()
    confirm: Annotated[int, Meta(ge=5, le=600, description="a number of seconds from 5 to 600")] = 30
    tracked: Annotated[
        int, Meta(ge=16_384, le=16_777_216, description="a number of connections from 16384 to 16777216")
    ] = 262_144


def is_network(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 network, or an address, with no bit set beyond its prefix."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def source_matches(networks: Iterable[str]) -> list[str]:
    """Return the beginnings of nftables rules for packets from `networks`: one a family; one empty text for all.

    Networks that lie in another are left out, since a set of nftables may not hold both.
    """
    matches = []
    every = [ipaddress.ip_network(network) for network in networks]
    for version, family, word in ((4, "ipv4", "ip"), (6, "ipv6", "ip6")):
        same = [net for net in every if net.version == version]
        nets = [str(net) for net in ipaddress.collapse_addresses(same)]  # type: ignore[type-var]
        if nets and nets[0].endswith("/0"):
            matches.append(f"meta nfproto {family} ")
        elif nets:
            matches.append(f"{word} saddr {{ {', '.join(nets)} }} ")
    return [""] if matches == ["meta nfproto ipv4 ", "meta nfproto ipv6 "] else matches


def refill_seconds(firewall: Firewall) -> int:
    """Return for how many seconds a source is remembered: until it may open `burst` connections again, at least 60."""
    if firewall.limit is None:
        return 60
    count, _, unit = firewall.limit.partition("/")
    return max(60, -(-firewall.burst * _SECONDS[unit] // int(count)))
