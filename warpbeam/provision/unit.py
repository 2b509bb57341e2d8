"""Settings that an instance of the app runs with: its sandbox and its VM's settings, from the inventory."""

from __future__ import annotations

import ipaddress

from warpbeam.inventory.schema import SLOTS, Host, Inventory, Slot
from warpbeam.runtime.kinds import slot_settings

# How many files the app may open, where `service` says nothing else.
OPEN_FILES = 65536
# Number of crash dumps that are kept, of both slots together.
DUMPS_KEPT = 3
_LOOPBACK = "127.0.0.1"


def overridden(service: str, overrides: dict[str, str]) -> str:
    """Return the lines of a [Service] section, with `overrides` in place of the directives of the same names.

    The comment above a removed directive is removed too, unless other directives follow under the same comment.
    """
    kept: list[str] = []
    said: list[str] = []
    used = True
    for line in service.splitlines():
        if line.startswith("#"):
            if used:
                said, used = [], False
            said.append(line)
            continue
        used = True
        if line.partition("=")[0] not in overrides:
            kept += [*said, line]
            said = []
    if overrides:
        kept.append("# As the inventory says, under `service`.")
        kept += [f"{name}={value}" for name, value in overrides.items()]
    return "\n".join(kept) + "\n"


def properties(service: str) -> list[str]:
    """Return the directives of a [Service] section, as `systemd-run --property=` takes them."""
    return [line for line in service.splitlines() if line and not line.startswith("#")]


def bindings(inventory: Inventory) -> str:
    """Return lines of a [Service] section that let the app listen at its own ports; the inventory may allow more."""
    ports = (*inventory.slot_ports(), *(inventory.dist_port(slot) for slot in SLOTS))
    return "\n".join(
        ["# Its own ports, and those of its nodes.", *(f"SocketBindAllow=tcp:{port}" for port in ports), ""]
    )


def vm_flags(inventory: Inventory) -> str:
    """Return the emulator's flags (erl(1)) for what the inventory sets; they follow those of the release's vm.args."""
    vm = inventory.vm
    flags = []
    if vm.ports is not None:
        flags.append(f"+Q {vm.ports}")
    if vm.async_threads is not None:
        flags.append(f"+A {vm.async_threads}")
    if vm.kernel_poll is not None:
        flags.append(f"+K {str(vm.kernel_poll).lower()}")
    return " ".join(flags)


def node_address(inventory: Inventory, host: Host) -> str:
    """Return the address at which the nodes of `host` listen for others: loopback, unless they have peers."""
    return (host.address or _LOOPBACK) if inventory.vm.peers else _LOOPBACK


def node(inventory: Inventory, host: Host, slot: Slot) -> str:
    """Return the Erlang node name of the instance in `slot` of `host`."""
    return f"{inventory.app}-{slot}@{node_address(inventory, host)}"


def interface(inventory: Inventory, host: Host) -> str:
    """Return the address to listen at, as Erlang writes it: {127,0,0,1}."""
    return "{" + node_address(inventory, host).replace(".", ",") + "}"


def peers(inventory: Inventory) -> tuple[str, ...]:
    """Return the addresses and networks from which nodes may be reached."""
    hosts = inventory.all_hosts
    found = (hosts[peer].address or "" if peer in hosts else peer for peer in inventory.vm.peers)
    return tuple(dict.fromkeys(str(ipaddress.IPv4Network(address)).removesuffix("/32") for address in found))


def callees(inventory: Inventory) -> tuple[str, ...]:
    """Return the addresses and networks whose nodes let this environment's hosts in: its peers and own app hosts."""
    if not inventory.vm.peers:
        return ()
    return tuple(dict.fromkeys((*peers(inventory), *(node_address(inventory, it) for it in inventory.all_app_hosts))))


def settings(inventory: Inventory, host: Host, slot: Slot) -> dict[str, object]:
    """Return the settings of an instance's VM, under the names that `slot.env.j2` uses."""
    return {
        "release_settings": slot_settings(node(inventory, host, slot), f"/run/{inventory.app}-{slot}"),
        "interface": interface(inventory, host),
        "vm_flags": vm_flags(inventory),
        "fullsweep_after": inventory.vm.fullsweep_after,
        "dump_bytes": inventory.vm.crash_dump << 20,
    }
