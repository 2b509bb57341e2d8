"""Check, before setup changes the app's unit, that the unit allows every port at which the app listens now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from warpbeam.error import Refused
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.host_state import HostState
from warpbeam.provision.unit import bindings


def forbidden(inventory: Inventory, bound: Iterable[str], allowed: Iterable[str] = ()) -> list[str]:
    """Return the entries of `bound` (such as `tcp:9568`), ports at which the app listens now, that its unit forbids.

    A port that the present unit allows (`allowed`, its rules) does not count: the inventory named it before, and may
    have dropped it on purpose. Ports that the kernel may have chosen are not in `bound` (`inspect.sh`).
    """
    if "SocketBindDeny" in inventory.service:
        return []
    rules = [*(line for line in bindings(inventory).splitlines() if not line.startswith("#"))]
    rules.append(f"SocketBindAllow={inventory.service.get('SocketBindAllow', 'none:0')}")
    allows = [*(rule.partition("=")[2] for rule in rules), *allowed]
    return [each for each in bound if not any(_allows(rule, each) for rule in allows)]


def unnamed(inventory: Inventory, found: HostState) -> tuple[str, str]:
    """Return which ports the app's unit does not allow, and a hint; both empty when it allows all."""
    ports = forbidden(inventory, found.bound, found.allowed)
    if not ports:
        return "", ""
    return (
        f"{inventory.app} listens at {', '.join(ports)}, which its unit will not allow from its next start on",
        f"name one that it needs under `service: {{SocketBindAllow: {ports[0]}}}` (a range: tcp:9000-9100); "
        'for any port `service: {SocketBindDeny: ""}`',
    )


def check_bindings(inventory: Inventory, found: Mapping[str, HostState]) -> None:
    """Check that the app's new unit allows every port at which the app listens now.

    Raises:
        Refused: it does not allow one, on a host whose systemd enforces that.
    """
    for name, facts in found.items():
        if name not in inventory.hosts:
            continue
        wrong, hint = unnamed(inventory.of(inventory.hosts[name]), facts)
        if wrong and facts.binds:
            raise Refused(wrong, hint, host=name, nothing_changed=True)


def _allows(rule: str, bound: str) -> bool:
    """Return whether a rule (systemd.resource-control(5), SocketBindAllow=) covers a protocol and port."""
    protocol, _, port = bound.partition(":")
    words = rule.split(":")
    if not {"tcp", "udp"}.isdisjoint(words) and protocol not in words:
        return False
    first, _, last = words[-1].partition("-")
    if not first.isdigit():
        return words[-1] in ("any", "tcp", "udp", "ipv4", "ipv6")
    return int(first) <= int(port) <= int(last or first)
