"""The secrets of a build: variables for single steps of it, with values that only these steps see.

`secrets.sh` beside this module takes them on the build host. They are in the body of the phase, before the source, and
not in its parameters: parameters are kept with the phase, and a phase can be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from warpbeam.inventory.hex import named_secrets
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.secrets import fetch_values


def fetch_asset_secrets(inventory: Inventory) -> dict[str, str]:
    """Return the value of each secret of the asset step, by name: those that neither Hex nor git uses.

    Raises: Misuse, where one cannot be fetched.
    """
    elsewhere = {*named_secrets(inventory.build).values()}
    references = {name: each for name, each in inventory.build.secrets.items() if name not in elsewhere}
    return fetch_values("build.secrets", references, inventory.file)


def values_for_host(secrets: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the values in their order, each ended by a NUL, which no value holds."""
    for value in secrets.values():
        yield value.encode() + b"\0"
