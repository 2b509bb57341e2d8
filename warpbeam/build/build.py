"""Building: turn a source into an artifact, on the build host (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

from contextlib import nullcontext

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.carry import carry
from warpbeam.build.download import download
from warpbeam.build.recipe import Recipe, ask_recipe, install_tools
from warpbeam.build.release import describe, make_release
from warpbeam.build.sbom import sbom
from warpbeam.build.signing import check_key, sign_kept, sign_made
from warpbeam.build.source import Source
from warpbeam.build.stopwatch import Stopwatch
from warpbeam.error import Misuse
from warpbeam.event import Emit, Note, Settled, Warn
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import Fleet
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.runtime.kinds import RUNTIMES
from warpbeam.size import size
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared import Absent, SharedStore, Unavailable
from warpbeam.store.store import Store
from warpbeam.store.transfer import pull


def build(
    fleet: Fleet,
    source: Source,
    store: DirectoryStore,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    shared: SharedStore | None = None,
) -> tuple[str, Artifact]:
    """Return the artifact of `source` and its key: from a store, or built on the build host and downloaded.

    Parameters:
        shared: the store to look in where `store` does not have the artifact, or None.
        with_tests: run `mix test` first; to run them, build even when the store has the artifact.
        anew: build from scratch even when the store has the artifact, and replace that.

    Raises:
        Misuse: no host has the role build.
        Refused: the build host's tools are not what the source asks for, or another build runs there.
        Failed: the build failed, or a version could not be installed; its last lines are in the details.
    """
    recipe = ask_recipe(fleet.shell(build_host(fleet.inventory)), fleet.inventory, source, emit)
    kept = None if anew else find_stored(recipe, store, shared, emit)
    if kept is not None and not with_tests:
        emit_kept(kept, emit)
        sign_kept(kept, fleet.inventory, store, emit)
        return recipe.key, kept
    return build_recipe(fleet, recipe, store, emit, with_tests=with_tests, anew=anew)


def build_host(inventory: Inventory) -> Host:
    """Return the environment's build host. Raises: Misuse, where no host has the role build."""
    if inventory.build_host is None:
        raise Misuse(
            f"{inventory.file}: no host has the role build",
            "give one `roles: [build]`, and leave it in when you narrow with -H",
        )
    return inventory.build_host


def find_kept(recipe: Recipe, store: Store, emit: Emit) -> Artifact | None:
    """Return the store's artifact of that recipe; None where there is none or, with a warning, where it is another."""
    kept = store.find(recipe.key)
    if kept is None:
        return None
    if not kept.is_unchanged():
        what = f"the artifact {recipe.key} that is kept on this machine was changed since it was built"
        emit(Warn("", f"{what}: building it again"))
        return None
    if wrong := _difference(kept.manifest, recipe):
        emit(Warn("", f"the artifact {recipe.key} on this machine is of another source, {wrong}: building it again"))
        return None
    return _described(kept, recipe.source)


def find_stored(recipe: Recipe, store: DirectoryStore, shared: SharedStore | None, emit: Emit) -> Artifact | None:
    """Return the artifact of that recipe, from this machine's store or else the shared one; None where neither has it.

    Raises:
        Refused: what the shared store has is not what it says, or is of another recipe; nothing of it is kept.
    """
    kept = find_kept(recipe, store, emit)
    if kept is not None or shared is None:
        return kept
    try:
        pulled = pull(recipe.key, store, shared, recipe.inventory, emit, lambda made: _difference(made, recipe))
    except Absent:
        return None
    except Unavailable as away:
        emit(Warn("", f"{away.message}: going on without it"))
        return None
    return _described(pulled, recipe.source)


def _difference(made: Manifest, recipe: Recipe) -> str:
    """Return how a manifest differs from one that the recipe would make; empty where it does not."""
    plan = recipe.inventory.build
    asked = (recipe.source.tree, plan.flavor, plan.mix_env, recipe.toolchain)
    for name, wanted in zip(("tree", "flavor", "mix_env", "toolchain"), asked, strict=True):
        if getattr(made, name) != wanted:
            return f"it has another {name} than its key stands for"
    return ""


def _described(artifact: Artifact, source: Source) -> Artifact:
    """Describe an artifact by the commit that was asked for: another commit may have the same tree."""
    manifest = msgspec.structs.replace(
        artifact.manifest, commit=source.commit, subject=source.subject, dirty=source.dirty
    )
    return Artifact(artifact.tarball, manifest)


def emit_kept(artifact: Artifact, emit: Emit) -> None:
    """Emit that an artifact of the store is used."""
    emit(Note("", f"built already: {artifact.manifest.app} {artifact.label}"))
    _emit_node(artifact, emit)


def build_recipe(
    fleet: Fleet, recipe: Recipe, store: Store, emit: Emit, *, with_tests: bool = False, anew: bool = False
) -> tuple[str, Artifact]:
    """Build the artifact of `recipe` on the build host, with the hooks of a build; return it with its key.

    The key is another than the recipe's where tools had to be installed. Parameters and errors as `build`.
    """
    plan = fleet.inventory.build
    if plan.sign is not None:
        check_key(plan.sign.key)
    host = build_host(fleet.inventory)
    with around(fleet, "build", [host], emit, {host.name: {"COMMIT": recipe.source.commit}}) as about:
        key, artifact = _make(fleet, host, recipe, store, emit, with_tests=with_tests, anew=anew)
        about["VERSION"] = artifact.manifest.version
    emit(Settled(host.name, f"built {recipe.inventory.app} {artifact.label}, {size(artifact.manifest.size)}"))
    _emit_node(artifact, emit)
    sign_made(artifact, fleet.inventory, store, emit)
    return key, artifact


def _make(
    fleet: Fleet, host: Host, recipe: Recipe, store: Store, emit: Emit, *, with_tests: bool, anew: bool
) -> tuple[str, Artifact]:
    """Build the artifact of `recipe` on `host`, and download it into the store; return its key and it."""
    watch, shell = Stopwatch(emit), fleet.shell(host)
    if recipe.missing:
        recipe = install_tools(shell, recipe, watch.emit)
    own = fleet.with_agent(host) if recipe.inventory.build.forward_agent else nullcontext(shell)
    carried = carry(fleet, host, recipe, watch.emit) if recipe.source.dirty else ""
    with own as builder:
        built = make_release(builder, recipe, watch.emit, with_tests=with_tests, anew=anew, carried=carried)
    watch.begin("download")
    artifact = download(shell, built, describe(recipe, built), store, recipe.key, emit)
    store.keep_sbom(recipe.key, sbom(artifact.manifest))
    emit(Note(host.name, f"took {watch}"))
    return recipe.key, artifact


def _emit_node(artifact: Artifact, emit: Emit) -> None:
    """Warn where the release sets its own node name: two instances on one host need two names."""
    if artifact.manifest.names_node:
        emit(Warn("", RUNTIMES[artifact.manifest.flavor].fixed_node))
