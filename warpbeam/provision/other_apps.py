"""Other apps on a host: setup refuses to take one's ports, because the tables of both would then rule them.

The guard of a port (`templates/guard.nft.j2`) lets only its own app's user answer there, so the guard of a new app
takes an app that has the same port off the network at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from warpbeam.error import Refused
from warpbeam.host.answer import FEW, Port, Word
from warpbeam.inventory.schema import Inventory


class OtherApp(msgspec.Struct, frozen=True):
    """Another app that Warpbeam has set up on a host: its environment, its deploy user, and every port that it has."""

    app: Word
    environment: Word = ""
    deploy: Word = ""
    ports: Annotated[tuple[Port, ...], FEW] = ()

    def __str__(self) -> str:
        return f"{self.app} (environment {self.environment})" if self.environment else self.app


def port_keys(inventory: Inventory) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each key of the inventory that has ports of a host, as a person writes it, with its ports."""
    http = inventory.http
    if http.port is not None:
        yield "http.port", (http.port,)
        yield "http.slots", http.slots
    yield "http.distribution", http.distribution
    yield "http.maintenance", inventory.page_ports()
    for name, port in inventory.ports.items():
        yield f"ports.{name}.public", (port.public,)
        yield f"ports.{name}.slots", port.slots


def taken_keys(inventory: Inventory, other: OtherApp) -> dict[str, list[int]]:
    """Return the keys of the inventory whose ports `other` has, with those ports."""
    shared = {key: [port for port in ports if port in other.ports] for key, ports in port_keys(inventory)}
    return {key: ports for key, ports in shared.items() if ports}


def check_other_apps(inventory: Inventory, found: Mapping[str, tuple[OtherApp, ...]]) -> None:
    """Check that no other app has a port of this one on an app host of `inventory`; `found` are each host's other apps.

    Raises:
        Refused: an app has one.
    """
    for host in inventory.app_hosts:
        for other in found.get(host.name, ()):
            keys = taken_keys(inventory.of(host), other)
            if keys:
                ports = ", ".join(f"{' and '.join(map(str, ports))} ({key})" for key, ports in keys.items())
                raise Refused(
                    f"another app on this host, {other}, has the same ports: {ports}",
                    f"the app would lose them: set {', '.join(f'`{key}`' for key in keys)} in {inventory.file} to "
                    "ports that it does not have; docs/inventory.md has an example of two apps on one host, "
                    f"docs/removing.md says how to remove {other.app}",
                    host=host.name,
                    nothing_changed=True,
                )
