"""The recipe of an artifact: all that decides its content, and the key that stands for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Toolchain
from warpbeam.build.flavor import with_flavor
from warpbeam.build.source import Source
from warpbeam.build.toolchain import AskToolchain, asked_tools
from warpbeam.event import Emit
from warpbeam.host.run import run
from warpbeam.inventory.schema import Inventory
from warpbeam.shell import Shell


class Recipe(msgspec.Struct, frozen=True):
    """The source of an artifact, the settings and the tools of its build. The same key is not built twice.

    `want_elixir` and `want_erlang` are the versions that .tool-versions asks for, as `asked_tools` returns them.
    """

    source: Source
    inventory: Inventory
    toolchain: Toolchain
    want_elixir: str
    want_erlang: str
    key: str


def ask_recipe(shell: Shell, inventory: Inventory, source: Source, emit: Emit) -> Recipe:
    """Return the recipe of `source` on the build host of `shell`, whose tools it asks for.

    Raises:
        Refused: the build host's tools are not what .tool-versions asks for.
    """
    inventory = with_flavor(inventory, source)
    elixir, erlang = asked_tools(source)
    phase = AskToolchain(tools=inventory.build.tools, want_elixir=elixir, want_erlang=erlang)
    toolchain = run(shell, phase, emit)
    return Recipe(source, inventory, toolchain, elixir, erlang, key_of(source, inventory, toolchain))


@cache
def epmd_source() -> str:
    """The source of the Erlang module by which nodes find each other; every build adds it, compiled, to the release."""
    return (Path(__file__).parents[1] / "network" / "erl_epmd.erl").read_text("utf-8")


def key_of(source: Source, inventory: Inventory, toolchain: Toolchain) -> str:
    """Return the key of the artifact, from all that decides its content and is known before a build."""
    plan = inventory.build
    how: Mapping[str, object] = {
        "app": inventory.app,
        "release": inventory.release_name,
        "named": inventory.release is not None,
        "flavor": plan.flavor,
        "mix_env": plan.mix_env,
        "tools": plan.tools,
        "env": plan.env,
    }
    parts = [[source.tree, source.prefix, source.sent], how, msgspec.to_builtins(toolchain), epmd_source()]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:20]
