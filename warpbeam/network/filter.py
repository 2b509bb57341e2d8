"""The nftables table that filters on a host, as the inventory asks for it; `warpbeam.network.firewall` loads it."""

from __future__ import annotations

from warpbeam.inventory.firewall import refill_seconds, source_matches
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.app_template import render


def filter_rules(inventory: Inventory, host: Host) -> str:
    """Return the nftables table that filters on `host`; empty where the inventory asks for none."""
    inventory = inventory.of(host)
    firewall = inventory.firewall
    if not (firewall.filter or firewall.limit):
        return ""
    return render(
        "filter.nft.j2",
        inventory,
        firewall=firewall,
        refill=refill_seconds(firewall),
        exempt_sources=source_matches(firewall.exempt),
        ssh_sources=source_matches(firewall.ssh),
        # If only ssh's own configuration has the port, the filter cuts us off during its trial, and so reverts.
        ssh_ports=sorted({22, host.port or 22}),
        accepted=[(*name.split("/"), source_matches(networks)) for name, networks in firewall.accept.items()],
        peers=bool(inventory.vm.peers),
    )
