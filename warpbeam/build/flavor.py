"""The flavor of a build: which tool makes the release, by what the source says."""

from __future__ import annotations

import re

import msgspec

from warpbeam.build.source import Source, read_file, read_lock_file
from warpbeam.inventory.schema import Inventory

# The file that Distillery cannot do without, and Mix does not read.
_CONFIG = "rel/config.exs"
# Distillery as a dependency: in mix.exs `{:distillery, ...}`, in mix.lock `"distillery": {...}`. Not in a comment.
_NAMED = re.compile(r'^[^#\n]*(?:\{\s*:distillery\b|"distillery":)', re.MULTILINE)


def with_flavor(inventory: Inventory, source: Source) -> Inventory:
    """Return the inventory with the flavor that `auto` means for that source."""
    plan = inventory.build
    if plan.flavor != "auto":
        return inventory
    flavor = "distillery" if uses_distillery(source) else "mix"
    return msgspec.structs.replace(inventory, build=msgspec.structs.replace(plan, flavor=flavor))


def uses_distillery(source: Source) -> bool:
    """Whether Distillery makes the source's releases: it is a dependency, and has its configuration.

    One alone is a leftover: an app that came to Mix's releases keeps the dependency for a while, or the file.
    (In an umbrella the dependency may be in an app's mix.exs; the lock file names it.)
    """
    if read_file(source, _CONFIG) is None:
        return False
    return any(_NAMED.search(text) for text in (read_file(source, "mix.exs") or "", read_lock_file(source)))
