"""A lab's network: a bridge with an IPv4 and an IPv6 subnet that nothing else on this machine uses."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

from warpbeam.error import Failed, Refused
from warpbeam.lab.command import run
from warpbeam.lab.state import LABS, Lab, Member, find_lab, known_labs

IPV6 = Path("/proc/net/if_inet6")
NETWORKS = 200


def subnet4(network: int) -> ipaddress.IPv4Network:
    """Return the IPv4 subnet with that number, of the private 10/8 (RFC 1918)."""
    return ipaddress.IPv4Network(f"10.83.{network}.0/24")


def subnet6(network: int) -> ipaddress.IPv6Network:
    """Return the IPv6 subnet with that number, of the unique local fd00::/8 (RFC 4193)."""
    return ipaddress.IPv6Network(f"fd83:7761:7270:{network:x}::/64")


def address4(network: int, number: int) -> str:
    """Return the IPv4 address of host `number`; the bridge is number 1."""
    return str(subnet4(network)[number])


def address6(network: int, number: int) -> str:
    """Return the IPv6 address of host `number`; the bridge is number 1."""
    return str(subnet6(network)[number])


def addresses(lab: Lab, member: Member) -> tuple[str, str]:
    """Return both addresses of a host, IPv4 first."""
    return address4(lab.network, member.number), address6(lab.network, member.number)


def free_network(taken: Iterable[str], reserved: Iterable[int]) -> int:
    """Return the first network number that is not `reserved` and whose subnets overlap none of the `taken` prefixes.

    Raises:
        Refused: no number is free.
    """
    used = [ipaddress.ip_network(prefix, strict=False) for prefix in taken]
    numbers = set(reserved)
    for number in range(NETWORKS):
        ours = (subnet4(number), subnet6(number))
        overlaps = any(own.version == other.version and own.overlaps(other) for own in ours for other in used)
        if number not in numbers and not overlaps:
            return number
    raise Refused("no subnet of 10.83.0.0/16 is free on this machine", "take a lab down: `fab lab.down --name NAME`")


def choose_network() -> int:
    """Return a network number that no lab and no route of this machine uses; the caller holds `network_lock`."""
    taken: list[str] = []
    for family in ("-4", "-6"):
        routes = json.loads(run("ip", "-json", family, "route", "show", "table", "all") or "[]")
        taken += [route["dst"] for route in routes if _is_prefix(route["dst"])]
    labs = [lab for name in known_labs() if (lab := find_lab(name)) is not None]
    return free_network(taken, (lab.network for lab in labs))


def network_lock() -> Path:
    """Return the lock to hold while a network is chosen and written down."""
    return LABS / "network.lock"


def raise_bridge(lab: Lab) -> None:
    """Make the lab's bridge, or set an existing one up again; the hosts on it stay connected."""
    name = lab.bridge
    if not Path("/sys/class/net", name).exists():
        run("ip", "link", "add", "name", name, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "address", "replace", f"{address4(lab.network, 1)}/24", "dev", name)
    if IPV6.exists():
        run("ip", "address", "replace", f"{address6(lab.network, 1)}/64", "dev", name, "nodad")
    run("ip", "link", "set", name, "up")


def plug_in(lab: Lab, member: Member) -> None:
    """Connect the link of a running host to the bridge again, where the bridge had been removed."""
    link = host_link(lab, member)
    if not Path("/sys/class/net", link, "master").exists():
        _on_link(link, "set", link, "master", lab.bridge, "up")


def drop_link(name: str) -> None:
    """Remove a network device where it exists."""
    _on_link(name, "delete", name)


def machine_name(lab: Lab, member: Member) -> str:
    """Return the name of a host for systemd-nspawn: unique on this machine, and short enough for `host_link`."""
    return f"wb{lab.network}-{member.number}"


def host_link(lab: Lab, member: Member) -> str:
    """Return the name of this machine's end of a host's link, as systemd-nspawn makes it (--network-bridge=)."""
    return f"vb-{machine_name(lab, member)}"


def _on_link(name: str, *verb: str) -> None:
    """Run `ip link` on a device that may vanish meanwhile: the kernel removes a killed host's link some time later."""
    device = Path("/sys/class/net", name)
    if device.exists():
        try:
            run("ip", "link", *verb)
        except Failed:
            if device.exists():
                raise


def _is_prefix(text: str) -> bool:
    """Whether `text` is a network or an address; not "default", and not 0.0.0.0/0, which overlaps everything."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return network.prefixlen > 0
