"""The settings of Hex in a build, and the secret values with which it fetches dependencies."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.secrets import fetch_build_secret

# The most bytes of a public key's file: a key of 16384 bits has 3 KB.
LONGEST_KEY = 16 * 1024


class Access(msgspec.Struct, frozen=True):
    """How a build fetches dependencies.

    `repositories` are settings of Hex's repositories, each as `NAME FIELD VALUE` with the value in base64; the
    fields are those of Hex's own file. `deploy_key` is a private key for git, or empty.
    """

    repositories: tuple[str, ...] = ()
    deploy_key: str = ""


def fetch_access(inventory: Inventory) -> Access:
    """Return the settings and keys of `build.hex` and `build.deploy_key`; each secret is fetched at most once.

    Raises:
        Misuse: a secret cannot be fetched, or a public key cannot be read.
    """
    build = inventory.build
    settings: list[tuple[str, str, str]] = []
    for name, repository in build.hex.repositories.items():
        settings.append((name, "url", repository.url))
        if repository.key is not None:
            settings.append((name, "auth_key", fetch_build_secret(inventory, repository.key).strip()))
    for name, key in build.hex.organizations.items():
        settings.append((f"hexpm:{name}", "auth_key", fetch_build_secret(inventory, key).strip()))
    for name, file in build.hex.public_keys.items():
        settings.append((name, "public_key", _public_key(inventory, name, file)))
    repositories = tuple(f"{name} {field} {_encoded(value)}" for name, field, value in settings)
    key = fetch_build_secret(inventory, build.deploy_key) if build.deploy_key else ""
    # ssh-add reads a key only with a line end at its end.
    return Access(repositories, f"{key.rstrip()}\n" if key else "")


def _public_key(inventory: Inventory, name: str, file: Path) -> str:
    where = f"{inventory.file}: build.hex.public_keys.{name}"
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_KEY + 1).decode("utf-8", "replace")
    except OSError as error:
        raise Misuse(f"{where}: {file} cannot be read: {error.strerror}") from None
    # Hex itself writes the second form.
    if not text.startswith(("-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----")) or len(text) > LONGEST_KEY:
        raise Misuse(
            f"{where}: expected a public key that begins with -----BEGIN PUBLIC KEY-----, found another file: {file}",
            "`mix hex.registry build` makes one; a registry serves its own at URL/public_key",
        )
    return text


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
