"""The keys for Hex: where a build fetches packages from, and with which keys.

A key is named after an entry of `build.secrets`, which says where its value is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.names import VariableName
from warpbeam.inventory.shape import HIDDEN

if TYPE_CHECKING:
    from warpbeam.inventory.build import Build

RegistryUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9.:_\[\]-]+(?:/[A-Za-z0-9._~%:@/+,=-]*)?\Z",
        description="a URL such as https://hex.example.com, without a name, a password or a query",
    ),
]
# Hex writes an organization's repository as hexpm:NAME.
RepositoryName = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\Z", description="the name of a Hex repository of a-z, 0-9, _ and -"),
]
Switch = Annotated[bool, Meta(description="true or false")]


class Repository(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Hex repository other than hex.pm; `key` names an entry of `build.secrets`."""

    url: Annotated[RegistryUrl, HIDDEN]
    key: VariableName | None = None


class Hex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of Hex in a build.

    `public_keys` has the file of the public key that signs a repository; `organizations` of hex.pm name entries of
    `build.secrets`.
    """

    mirror: Annotated[RegistryUrl | None, HIDDEN] = None
    offline: Switch = False
    unsafe_registry: Switch = False
    public_keys: dict[RepositoryName, Path] = {}
    organizations: dict[RepositoryName, VariableName] = {}
    repositories: dict[RepositoryName, Repository] = {}


def named_secrets(build: Build) -> dict[tuple[str, ...], str]:
    """Return the entries of `build.secrets` that Hex and git use, by the key at which each is named."""
    asked: dict[tuple[str, ...], str | None] = {
        **{("build", "hex", "organizations", name): key for name, key in build.hex.organizations.items()},
        **{("build", "hex", "repositories", name, "key"): each.key for name, each in build.hex.repositories.items()},
        ("build", "deploy_key"): build.deploy_key,
    }
    return {place: name for place, name in asked.items() if name is not None}


def unknown_secrets(build: Build) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the names that are no entry of `build.secrets`, each with the key at which it is written."""
    for place, name in named_secrets(build).items():
        if name not in build.secrets:
            yield name, place
