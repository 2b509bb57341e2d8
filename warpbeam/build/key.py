"""The key of an artifact: the same key is not built twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Toolchain
from warpbeam.build.source import Source
from warpbeam.inventory.schema import Inventory


@cache
def epmd_source() -> str:
    """The source of the Erlang module by which nodes find each other; every build adds it, compiled, to the release."""
    return (Path(__file__).parents[1] / "network" / "erl_epmd.erl").read_text("utf-8")


def artifact_key(source: Sequence[str], build: Mapping[str, object], toolchain: Toolchain) -> str:
    """Return the key of an artifact, from all that decides its content. The same key is not built twice.

    Parameters:
        source: the tree, and what else decides which bytes are sent.
        build: all settings of the inventory that affect the build.
        toolchain: the tools and the platform of the build host.
    """
    parts = [list(source), build, msgspec.to_builtins(toolchain), epmd_source()]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:20]


def key_of(source: Source, inventory: Inventory, toolchain: Toolchain) -> str:
    """Return the key of the artifact, from all that decides its content and is known before a build."""
    plan = inventory.build
    how = {
        "app": inventory.app,
        "release": inventory.release_name,
        "named": inventory.release is not None,
        "flavor": plan.flavor,
        "mix_env": plan.mix_env,
        "tools": plan.tools,
        "env": plan.env,
    }
    return artifact_key((source.tree, source.prefix, source.sent), how, toolchain)
