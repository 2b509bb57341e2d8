"""Keys that may log in as the deploy user: as lines of authorized_keys, and as fingerprints for people."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from warpbeam.error import Misuse
from warpbeam.inventory.schema import Inventory

_KEY = re.compile(r"(?:^|\s)(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ +(AAAA[A-Za-z0-9+/]+=*)(?: +(.*))?$")


def read_deploy_keys(inventory: Inventory) -> tuple[str, ...] | None:
    """Return the public keys that may log in as the deploy user, as lines of authorized_keys; None: keep those there.

    Raises:
        Misuse: a file of `deploy_keys` cannot be read or holds no public key.
    """
    if inventory.deploy_keys is None:
        return None
    lines: list[str] = []
    for index, entry in enumerate(inventory.deploy_keys):
        where = f"{inventory.file}: deploy_keys[{index}]"
        if " " in entry.strip():
            lines.append(entry.strip())
            continue
        try:
            with open(entry, encoding="utf-8") as file:  # noqa: PTH123 (already an absolute path, as text)
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise Misuse(f"{where}: {entry} cannot be read: {reason}") from None
        found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not found or any("PRIVATE KEY" in line for line in found):
            raise Misuse(f"{where}: {entry} holds no public key", "name the .pub file")
        lines += found
    return tuple(dict.fromkeys(lines))


def described(line: str) -> str:
    """Describe a line of authorized_keys by the fingerprint that `ssh-keygen -l` shows, and by its comment."""
    match = _KEY.search(line)
    if match is None:
        return "a line that is no key"
    blob, comment = match[1], match[2] or "without a comment"
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except binascii.Error:
        return f"a damaged key, {comment}"
    options = " (with options)" if match.start() else ""
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')} {comment}{options}"


def listed(text: str) -> tuple[str, ...]:
    """Return the lines of an authorized_keys file that are neither empty nor comments."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
