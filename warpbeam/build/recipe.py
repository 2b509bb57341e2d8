"""The recipe of an artifact: all that decides its content, and the key that stands for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Toolchain
from warpbeam.build.asked import AskedTools, asked_tools
from warpbeam.build.container import FoundImage, find_image, inside, root_of
from warpbeam.build.flavor import with_flavor
from warpbeam.build.source import Source
from warpbeam.build.toolchain import InstallTools, ask_toolchain
from warpbeam.event import Emit
from warpbeam.host.run import run
from warpbeam.inventory.schema import Inventory
from warpbeam.shell import Shell

# Raise it when the build makes another release of the same source: artifacts of before are then built anew.
FORMAT = 2


class Recipe(msgspec.Struct, frozen=True):
    """The source of an artifact, the settings and the tools of its build. The same key is not built twice.

    `want_elixir`, `want_erlang` and `want_nodejs` are the versions that the source asks for, as `asked_tools` returns
    them. `tools` is whose tools they are. Where some are `missing`, `install_tools` comes before a build. `found` is
    the image of the container that the build runs in, or None.
    """

    source: Source
    inventory: Inventory
    toolchain: Toolchain
    want_elixir: str
    want_erlang: str
    key: str
    want_nodejs: str = ""
    tools: str = "system"
    missing: tuple[str, ...] = ()
    found: FoundImage | None = None

    @property
    def root(self) -> str:
        """The directory of the build on the build host."""
        return root_of(self.inventory, self.found)


def ask_recipe(shell: Shell, inventory: Inventory, source: Source, emit: Emit, *, pull: str | None = None) -> Recipe:
    """Return the recipe of `source` on the build host of `shell`, whose tools it asks for.

    Parameters:
        pull: whether the image of a container is pulled, in place of the inventory's own word.

    Raises:
        Refused: the build host's tools are not what the source asks for.
    """
    inventory = with_flavor(inventory, source)
    container = inventory.build.container
    found = find_image(shell, container, emit, pull=pull) if container else None
    asked = asked_tools(source, inventory.build.tools)
    return _ask(shell, inventory, source, asked, inventory.build.tools, found, emit)


def install_tools(shell: Shell, recipe: Recipe, emit: Emit) -> Recipe:
    """Install on the host of `shell` what `recipe` finds missing there; return the recipe with what there is then.

    Raises:
        Refused: a build or an installation runs there.
        Failed: asdf or mise could not install a version; its last lines are in the details.
    """
    inventory, source = recipe.inventory, recipe.source
    asked = asked_tools(source, inventory.build.tools)
    phase = InstallTools(
        root=recipe.root,
        variables=tuple(f"{name}={value}" for name, value in inventory.build.env.items()),
        tools=recipe.tools,
        want_elixir=asked.elixir,
        want_erlang=asked.erlang,
        want_nodejs=asked.nodejs,
    )
    with inside(shell, inventory, recipe.found, build=recipe.key) as builder:
        run(builder, phase, emit)
    return _ask(shell, inventory, source, asked, recipe.tools, recipe.found, emit)


def _ask(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    asked: AskedTools,
    tools: str,
    found: FoundImage | None,
    emit: Emit,
) -> Recipe:
    with inside(shell, inventory, found) as builder:
        answer = run(builder, ask_toolchain(tools, asked), emit)
    toolchain = msgspec.structs.replace(answer.toolchain, image=found.digest if found else "")
    return Recipe(
        source,
        inventory,
        toolchain,
        asked.elixir,
        asked.erlang,
        key_of(source, inventory, toolchain),
        want_nodejs=asked.nodejs,
        tools=answer.tools,
        missing=answer.missing,
        found=found,
    )


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
        # Not build.secrets: a token lets the build in somewhere, and a new one must not make every artifact anew.
        "assets": plan.assets,
        "format": FORMAT,
    }
    # The image is in the toolchain, by its digest.
    if plan.container and plan.container.options:
        how = {**how, "container": plan.container.options}
    parts = [[source.tree, source.prefix, source.sent], how, msgspec.to_builtins(toolchain), epmd_source()]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:20]
