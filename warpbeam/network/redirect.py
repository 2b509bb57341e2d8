"""The text of the nftables table that leads public ports to the live slot, or to the maintenance page."""

from __future__ import annotations

from typing import Final, Literal

from warpbeam.host.template import filled
from warpbeam.inventory.firewall import source_matches
from warpbeam.inventory.schema import SLOTS, Inventory, Slot

MAINTENANCE: Final = "maintenance"
# Connections to the page that one source may have at once: a quarter of all (maintenance.socket.j2).
PAGE_CONNECTIONS: Final = 64
# Connections to the page that one source may open in a second: systemd starts some hundred processes in that time.
PAGE_PACE: Final = 30


def port_variables(inventory: Inventory, slot: Slot) -> dict[str, int]:
    """Return the ports that the instance in `slot` serves, by the variable from which it reads each."""
    http = inventory.port(slot)
    more = {name: port.slots[SLOTS.index(slot)] for name, port in inventory.ports.items()}
    return more if http is None else {"PORT": http, **more}


def redirect_rules(inventory: Inventory, where: Slot | Literal["maintenance"]) -> str:
    """Return the nftables table for when the slot `where` is live, or for when maintenance is on."""
    http = inventory.http
    if where == MAINTENANCE:
        # The page is plain HTTP, so no other public port leads to it.
        leads = {} if http.port is None else {http.port: http.maintenance}
        closed = [port.public for port in inventory.ports.values()]
        title = f"port {http.port} leads to the maintenance page"
    else:
        leads, closed = inventory.leads(where), []
        many = "ports" if len(leads) > 1 else "port"
        title = f"{many} {', '.join(map(str, leads))} {'lead' if len(leads) > 1 else 'leads'} to slot {where}"
        if not leads:
            title = "no port leads to it"
    return filled(
        "redirect.nft.j2",
        app=inventory.app,
        title=title,
        leads=list(leads.items()),
        closed=closed,
        public_ports=[*inventory.leads("a")],
        inner_ports=(*inventory.slot_ports(), *inventory.page_ports()),
        page_port=http.maintenance if where == MAINTENANCE and http.port is not None else None,
        page_connections=PAGE_CONNECTIONS,
        page_pace=PAGE_PACE,
        exempt_sources=source_matches(inventory.firewall.exempt),
    )
