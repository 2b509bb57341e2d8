"""A manifest that came from elsewhere: a shared store, or a file that a person names. Nothing in it is believed."""

from __future__ import annotations

import re

import msgspec

from warpbeam.build.artifact import Manifest
from warpbeam.build.content import MOST_BYTES, violation
from warpbeam.error import Refused
from warpbeam.inventory.schema import Inventory
from warpbeam.runtime.kinds import RUNTIMES

HINT = "nothing of it is kept; look at who may write there"
OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def read_manifest(text: bytes, inventory: Inventory, where: str) -> Manifest:
    """Return the manifest of an artifact for the app of `inventory`, from its text.

    Parameters:
        where: the manifest as messages name it.

    Raises:
        Refused: as `decode_manifest`, or it is one of another app or release.
    """
    manifest = decode_manifest(text, where)
    ours, found = (inventory.app, inventory.release_name), (manifest.app, manifest.release)
    if found != ours:
        raise Refused(
            f"{where} is of the release {found[1][:60]!r} of the app {found[0][:60]!r}; "
            f"this environment has the release {ours[1]!r} of {ours[0]!r}",
            "see `app` and `release` in the inventory",
        )
    return manifest


def decode_manifest(text: bytes, where: str) -> Manifest:
    """Return the manifest of an artifact of any app. Raises: Refused: it is none, or breaks the rules for artifacts."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(f"{where} is no manifest of an artifact: {str(error)[:200]}", HINT) from None
    if wrong := _form(manifest) or violation(manifest.files, manifest.directories):
        raise Refused(f"{where} describes what no artifact may be: {wrong}", HINT)
    return manifest


def _form(manifest: Manifest) -> str:
    """Return what is wrong with the values that types do not bound, in a sentence; empty where nothing is."""
    if not (OBJECT.fullmatch(manifest.commit) and OBJECT.fullmatch(manifest.tree)):
        return "its commit or its tree is no id of git's"
    if not SHA256.fullmatch(manifest.sha256) or not 0 < manifest.size <= MOST_BYTES:
        return "it has no checksum or no possible size"
    if manifest.flavor not in RUNTIMES:
        return f"it is of the kind {manifest.flavor[:60]!r}, and this Warpbeam knows {', '.join(RUNTIMES)}"
    return ""
