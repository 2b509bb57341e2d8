"""The release that a build host makes of a source."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, ClassVar

import msgspec

from warpbeam.bound import LONGEST_RECORD
from warpbeam.build.archive import archive, joined
from warpbeam.build.artifact import Item, Manifest
from warpbeam.build.container import inside
from warpbeam.build.hex import fetch_access
from warpbeam.build.lock_file import locked_dependencies
from warpbeam.build.recipe import Recipe, epmd_source
from warpbeam.build.secrets import fetch_asset_secrets, values_for_host
from warpbeam.build.source import Source
from warpbeam.event import Emit
from warpbeam.host.answer import FILES, AbsolutePath, Count, Library, Sha256, Text, Version
from warpbeam.host.phase import Phase
from warpbeam.host.run import run
from warpbeam.runtime.kinds import RUNTIMES
from warpbeam.shell import Shell

# The checks of a release of each kind, once it is made.
CHECKS = tuple(part for runtime in RUNTIMES.values() for part in (runtime.launched, runtime.built))


class Built(msgspec.Struct, frozen=True):
    """The answer of build.sh."""

    version: Version
    erts: Version
    libcrypto: Library
    tarball: AbsolutePath
    sha256: Sha256
    size: Count
    files: Annotated[tuple[Item, ...], FILES]
    directories: Annotated[tuple[Text, ...], FILES]
    names_node: bool


class MakeRelease(Phase[Built], frozen=True, kw_only=True):
    """Compile the source and assemble a release; the head of `warpbeam/build/build.sh` explains its fields."""

    script: ClassVar[str] = "build/build"
    parts: ClassVar[tuple[str, ...]] = (
        "host/common",
        "build/tools",
        "build/program",
        "build/secrets",
        "build/assets",
        "build/source",
        "build/dependencies",
        "build/content",
        "build/tarball",
        *CHECKS,
    )
    answer: ClassVar[type] = Built
    # The answer has an entry for each file of the release.
    longest: ClassVar[int] = 16 * LONGEST_RECORD
    root: str
    release: str
    named: bool
    mix_env: str
    strip: int
    place: str
    places: tuple[str, ...]
    carried: str
    anew: bool
    keep: tuple[str, ...]
    with_tests: bool
    variables: tuple[str, ...]
    commit: str
    tree: str
    key: str
    tools: str
    want_elixir: str
    want_erlang: str
    want_nodejs: str
    elixir: str
    otp: str
    epmd: str
    runtime: str
    assets: str
    asset_commands: tuple[str, ...]
    secret_names: tuple[str, ...]
    hex_mirror: str
    hex_offline: bool
    hex_unsafe: bool
    hex_repositories: tuple[str, ...]
    deploy_key: str


def make_release(shell: Shell, recipe: Recipe, emit: Emit, *, with_tests: bool, anew: bool, carried: str = "") -> Built:
    """Compile the source of `recipe` on the host of `shell` and assemble a release there; a clean source is sent along.

    Parameters:
        carried: the directory that holds a dirty source there, as `carry` returns it.

    Raises:
        Misuse: a secret of the build cannot be fetched; nothing was built.
        Refused: another build runs there.
        Failed: the build failed; its last lines are in the details.
    """
    inventory, source = recipe.inventory, recipe.source
    plan = inventory.build
    secrets = fetch_asset_secrets(inventory)
    access = fetch_access(inventory)
    phase = MakeRelease(
        root=recipe.root,
        release=inventory.release_name,
        named=inventory.release is not None,
        mix_env=plan.mix_env,
        strip=source.layout.base.count("/"),
        place=source.layout.place,
        places=source.layout.places,
        carried=carried,
        anew=anew,
        keep=plan.keep,
        with_tests=with_tests,
        variables=tuple(f"{name}={value}" for name, value in plan.env.items()),
        commit=source.commit,
        tree=source.tree,
        key=recipe.key,
        tools=recipe.tools,
        want_elixir=recipe.want_elixir,
        want_erlang=recipe.want_erlang,
        want_nodejs=recipe.want_nodejs,
        elixir=recipe.toolchain.elixir,
        otp=recipe.toolchain.otp,
        epmd=epmd_source(),
        runtime=plan.flavor,
        assets=plan.assets if isinstance(plan.assets, str) else "own",
        asset_commands=() if isinstance(plan.assets, str) else plan.assets,
        secret_names=tuple(secrets),
        hex_mirror=plan.hex.mirror or "",
        hex_offline=plan.hex.offline,
        hex_unsafe=plan.hex.unsafe_registry,
        hex_repositories=access.repositories,
        deploy_key=access.deploy_key,
    )
    with inside(shell, inventory, recipe.found, build=recipe.key) as builder:
        return run(builder, phase, emit, chain(values_for_host(secrets), files_of(source)))


def files_of(source: Source) -> Iterator[bytes]:
    """Yield the files of a source as a tar stream; of a dirty one, those of its submodules alone."""
    main = [] if source.dirty else [archive(source.top, source.commit, *source.layout.paths)]
    submodules = [archive(each.top, each.commit, place=f"{each.path}/") for each in source.submodules]
    return joined([*main, *submodules])


def describe(recipe: Recipe, built: Built) -> Manifest:
    """Return the manifest of the artifact that was built by `recipe`."""
    inventory, source = recipe.inventory, recipe.source
    return Manifest(
        app=inventory.app,
        release=inventory.release_name,
        version=built.version,
        commit=source.commit,
        subject=source.subject,
        tree=source.tree,
        dirty=source.dirty,
        flavor=inventory.build.flavor,
        mix_env=inventory.build.mix_env,
        toolchain=recipe.toolchain,
        erts=built.erts,
        libcrypto=built.libcrypto,
        sha256=built.sha256,
        size=built.size,
        files=built.files,
        directories=built.directories,
        names_node=built.names_node,
        dependencies=locked_dependencies(source),
    )
