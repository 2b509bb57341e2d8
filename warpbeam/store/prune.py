"""Removal of old artifacts, here or in the shared store: the newest stay, and those that are live somewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from warpbeam.build.artifact import Manifest
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.listing import live_digests, manifests_in
from warpbeam.store.shared import MOST_MANIFEST, NAME, Absent, SharedStore, StoredFile, read_text

# Seconds for which a tarball without a manifest stays: somebody may be pushing it.
UNFINISHED = 24 * 3600


class Pruned(msgspec.Struct, frozen=True):
    """The keys that a prune removed, and those that it kept only because they are live in an environment."""

    removed: tuple[str, ...]
    live: tuple[str, ...]


def choose(times: Mapping[str, int], live: frozenset[str], keep: int) -> Pruned:
    """Return which of the artifacts of `times` to remove: all but the newest `keep` and those that are `live`."""
    newest_first = sorted(times, key=lambda key: (-times[key], key))
    old = newest_first[keep:]
    return Pruned(tuple(key for key in old if key not in live), tuple(key for key in old if key in live))


def prune_here(here: DirectoryStore, keep: int) -> Pruned:
    """Remove old artifacts of this machine; return which."""
    digests = {key: found.manifest.sha256 for key in here.kept() if (found := here.find(key))}
    recorded = {sha256 for live in here.all_live().values() for sha256 in live.digests}
    live = frozenset(key for key, sha256 in digests.items() if sha256 in recorded)
    chosen = choose(here.kept(), live, keep)
    for key in chosen.removed:
        here.remove(key)
    return chosen


def prune_shared(here: DirectoryStore, shared: SharedStore, keep: int) -> Pruned:
    """Remove old artifacts of the shared store, and tarballs that no manifest describes; return the former.

    A manifest goes before its tarball: whatever interrupts this, no artifact is left there by half.

    Raises: Unavailable, Failed: as `SharedStore`.
    """
    files = shared.files()
    recorded = {sha256[:16] for sha256 in live_digests(here, shared, files)}
    digests = [(match["key"], match["digest"]) for name in files if (match := NAME.fullmatch(name)) and match["digest"]]
    live = frozenset(key for key, digest in digests if digest in recorded)
    chosen = choose(manifests_in(files), live, keep)
    shared.remove([f"{key}.json" for key in chosen.removed])
    shared.remove(sorted(_left_over(shared, files, frozenset(chosen.removed), recorded)))
    return chosen


def _left_over(
    shared: SharedStore, files: Mapping[str, StoredFile], removed: frozenset[str], recorded: set[str]
) -> set[str]:
    """Return the files that belong to no artifact now, except those that somebody may be pushing."""
    described = manifests_in(files)
    several = [match["key"] for name in files if name.endswith(".tar.gz") and (match := NAME.fullmatch(name))]
    found = set()
    for name, file in files.items():
        match = NAME.fullmatch(name)
        if match is None or match["digest"] is None:
            continue
        key = match["key"]
        if key in removed:
            found.add(name)
            continue
        # Most keys have one tarball: their manifests need not be read.
        stale = key not in described or (several.count(key) > 1 and _digest(shared, key) != match["digest"])
        if stale and match["digest"] not in recorded and time.time() - file.changed > UNFINISHED:
            found.add(name)
    return found


def _digest(shared: SharedStore, key: str) -> str:
    """Return the beginning of the digest that a manifest names, as it is in the name of the tarball."""
    try:
        text = read_text(shared, f"{key}.json", MOST_MANIFEST)
        return msgspec.json.decode(text, type=Manifest).sha256[:16]
    except (Absent, msgspec.DecodeError, RecursionError):
        return ""
