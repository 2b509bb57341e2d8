"""Secrets: fetched from where the inventory says, on this machine, once and only when needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from warpbeam.error import Misuse
from warpbeam.inventory import Inventory, Secret

# The kernel's limit for one string of an environment is 128 KiB (execve(2), MAX_ARG_STRLEN), name included.
MAX_BYTES = 120_000


def fetch_secrets(inventory: Inventory) -> dict[str, str]:
    """The value of every secret, by name.

    Raises:
        Misuse: a value cannot be had, or systemd could not hand it on; the message never holds a value.
    """
    return {name: _fetch(name, secret, inventory) for name, secret in inventory.secrets.items()}


def _fetch(name: str, secret: Secret, inventory: Inventory) -> str:
    where = f"{inventory.file}: secrets.{name}"
    raw = _read(where, secret, inventory.file.parent)
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Misuse(f"{where}: the value is not UTF-8", "encode it, for example with base64") from None
    if "\0" in value:
        raise Misuse(f"{where}: the value holds a NUL, which no environment variable can")
    if len(raw) > MAX_BYTES:
        raise Misuse(f"{where}: the value is {len(raw)} bytes; expected at most {MAX_BYTES}")
    return value


def _read(where: str, secret: Secret, directory: Path) -> bytes:
    if secret.env is not None:
        value = os.environb.get(secret.env.encode())
        if value is None:
            raise Misuse(f"{where}: the environment variable {secret.env} is not set", f"export {secret.env} first")
        return value
    if secret.file is not None:
        file = secret.file if secret.file.is_absolute() else directory / secret.file
        try:
            return file.read_bytes()
        except OSError as error:
            raise Misuse(f"{where}: {file} cannot be read: {error.strerror}") from None
    assert secret.command is not None  # noqa: S101 (the type holds exactly one of the three)
    # The command is the inventory author's own, run on their own machine, as a shell would from a terminal.
    done = subprocess.run(  # noqa: S602
        secret.command,
        shell=True,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise Misuse(f"{where}: its command failed with status {done.returncode}", "run it by hand to see why")
    return done.stdout.removesuffix(b"\n")
