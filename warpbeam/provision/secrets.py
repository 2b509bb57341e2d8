"""Fetch the values of secrets from where the inventory says: on this machine, once, and only when needed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.secret import Secret

# The kernel's limit for one string of an environment is 128 KiB (execve(2), MAX_ARG_STRLEN), name included.
MAX_BYTES = 120_000
# The kernel's limit for the whole environment and the arguments is 2 MiB, a quarter of the usual stack.
MAX_TOTAL = 1_000_000


def fetch_host_secrets(inventory: Inventory) -> dict[str, dict[str, str]]:
    """Return the value of every secret of each chosen host, by the host's name. Raises: Misuse, as `fetch_secrets`."""
    return {name: fetch_secrets(inventory.of(host)) for name, host in inventory.hosts.items()}


def fetch_secrets(inventory: Inventory) -> dict[str, str]:
    """Return the value of every secret, by name; none where no chosen host runs the app.

    Each value is fetched once in the life of this process: the person who fetches it may have to touch a key.

    Raises:
        Misuse: a value cannot be fetched, or systemd could not pass it on; the message never holds a value.
    """
    if not inventory.app_hosts:
        return {}
    return fetch_values("secrets", inventory.secrets, inventory.file)


def fetch_values(key: str, references: Mapping[str, Secret], file: Path) -> dict[str, str]:
    """Return the value of each of the `references` that are under `key` in the inventory `file`. Raises: Misuse."""
    values = {name: _fetch(f"{key}.{name}", secret, file) for name, secret in references.items()}
    total = sum(len(value.encode()) for value in values.values())
    if total > MAX_TOTAL:
        raise Misuse(
            f"{file}: {key}: together they are {total} bytes; expected at most {MAX_TOTAL}",
            "no process could be started with more: put large ones in files of the app's own",
        )
    return values


def fetch_build_secret(inventory: Inventory, name: str) -> str:
    """Return the value of one of `build.secrets`. Raises: Misuse, as `fetch_secrets`."""
    return _fetch(f"build.secrets.{name}", inventory.build.secrets[name], inventory.file)


@cache
def _fetch(key: str, secret: Secret, inventory: Path) -> str:
    where = f"{inventory}: {key}"
    raw = _read(where, secret, inventory.parent)
    if len(raw) > MAX_BYTES:
        raise Misuse(
            f"{where}: the value has more than {MAX_BYTES} bytes", "the kernel lets no variable be much longer"
        )
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        value = None
    # Raised here, not in the `except` block, because the UnicodeDecodeError holds the secret's bytes.
    if value is None:
        raise Misuse(f"{where}: the value is not UTF-8", "encode it, for example with base64")
    if "\0" in value:
        raise Misuse(f"{where}: the value holds a NUL, which no environment variable can")
    return value


def _read(where: str, secret: Secret, directory: Path) -> bytes:
    """Return the bytes of a secret; a file or an output is read only until it has more than is allowed."""
    if secret.env is not None:
        value = os.environb.get(secret.env.encode())
        if value is None:
            raise Misuse(f"{where}: the environment variable {secret.env} is not set", f"export {secret.env} first")
        return value
    if secret.file is not None:
        file = secret.file if secret.file.is_absolute() else directory / secret.file
        try:
            with file.open("rb") as opened:
                return opened.read(MAX_BYTES + 1)
        except OSError as error:
            raise Misuse(f"{where}: {file} cannot be read: {error.strerror}") from None
    return _printed(where, secret.command or "", directory)


def _printed(where: str, command: str, directory: Path) -> bytes:
    """Return what a command prints, without one line end at its end."""
    # The command is the inventory author's own, and runs on this machine as from a terminal.
    with subprocess.Popen(  # noqa: S602
        command, shell=True, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 (asked for above)
        # One byte for the line end, and one that shows that there is more.
        text = _drained(process.stdout, MAX_BYTES + 2)
        if len(text) > MAX_BYTES + 1:
            process.kill()
    if process.returncode != 0 and len(text) <= MAX_BYTES + 1:
        raise Misuse(f"{where}: its command failed with status {process.returncode}", "run it by hand to see why")
    return text.removesuffix(b"\n")


def _drained(stream: IO[bytes], most: int) -> bytes:
    """Return the bytes of `stream` up to its end, at most `most`."""
    text = b""
    while len(text) < most and (piece := stream.read(most - len(text))):
        text += piece
    return text
