"""Conflicts between the keys that say how a release is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from warpbeam.inventory.container import own_options
from warpbeam.inventory.finding import Finding, finding
from warpbeam.inventory.hex import unknown_secrets

if TYPE_CHECKING:
    from warpbeam.inventory.build import Build
    from warpbeam.inventory.schema import Inventory


def build_findings(inventory: Inventory) -> Iterator[Finding]:
    """Yield every conflict between keys of `build`."""
    yield from _variables(inventory.build)
    yield from _access(inventory.build)
    yield from _store(inventory.build)
    yield from _container(inventory.build)
    yield from _pins(inventory)


def _variables(build: Build) -> Iterator[Finding]:
    for part, given in (("env", [*build.env]), ("secrets", [*build.secrets])):
        if "MIX_ENV" in given:
            message = "expected a variable of the build's own, found what build.mix_env says"
            yield finding(message, "set build.mix_env instead", ("build", part, "MIX_ENV"))
    for name in build.secrets:
        if name in build.env:
            message = "expected a variable under build.env or under build.secrets, found it under both"
            yield finding(message, "remove one of them", ("build", "secrets", name), ("build", "env", name))


def _access(build: Build) -> Iterator[Finding]:
    for name, key in unknown_secrets(build):
        yield finding(f'expected the name of one of build.secrets, found "{name}"', "say there where its value is", key)
    hexes = build.hex
    for name in hexes.repositories:
        # Hex 2.5 crashes where it has no key.
        if name not in hexes.public_keys and not hexes.unsafe_registry:
            message = f"expected the public key of {name} under build.hex.public_keys, found none"
            hint = "a repository serves it at URL/public_key; or set build.hex.unsafe_registry"
            yield finding(message, hint, ("build", "hex", "repositories", name))
    if build.deploy_key and build.forward_agent:
        message = "expected build.deploy_key or build.forward_agent, found both"
        hint = "git asks one agent: remove one of them"
        yield finding(message, hint, ("build", "forward_agent"), ("build", "deploy_key"))


def _store(build: Build) -> Iterator[Finding]:
    if build.store_endpoint and not (build.store or "").startswith("s3://"):
        message = f"expected a store s3://BUCKET/PREFIX beside build.store_endpoint, found {build.store or 'none'}"
        yield finding(message, "only S3 has an endpoint", ("build", "store_endpoint"), ("build", "store"))


def _pins(inventory: Inventory) -> Iterator[Finding]:
    known = [name for name, host in inventory.hosts.items() if "build" in host.roles]
    for name, host in inventory.hosts.items():
        key = ("hosts", name, "build")
        if host.build is None:
            continue
        if "app" not in host.roles:
            message = "expected a build host for a host with role app, found one for a host that runs no app"
            yield finding(message, "remove it", key, ("hosts", name, "roles"))
        elif host.build not in known:
            message = f'expected a host with role "build", found "{host.build}"'
            yield finding(message, f"those with it: {', '.join(known) or 'none'}", key)


def _container(build: Build) -> Iterator[Finding]:
    for option in own_options(build.container) if build.container else ():
        message = f'expected options that leave the build as Warpbeam runs it, found "{option}"'
        hint = "docs/containers.md has the options that Warpbeam sets itself"
        yield finding(message, hint, ("build", "container", "options"))
