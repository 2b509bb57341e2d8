"""Building: turn a source into an artifact, on the build host (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.download import download
from warpbeam.build.recipe import Recipe, ask_recipe
from warpbeam.build.release import describe, make_release
from warpbeam.build.source import Source
from warpbeam.build.stopwatch import Stopwatch
from warpbeam.build.working_tree import ignored_files
from warpbeam.error import Misuse
from warpbeam.event import Emit, Note, Settled, Step, Warn
from warpbeam.inventory.schema import Inventory
from warpbeam.runtime.kinds import RUNTIMES
from warpbeam.shell import Shell
from warpbeam.ssh.rsync import this_path
from warpbeam.store.store import Store

# Makes a directory of the build host like one of this machine, except for the paths of the list.
Rsync = Callable[[Path, str, list[str]], None]


def build(
    shell: Shell,
    inventory: Inventory,
    source: Source,
    store: Store,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    before: Callable[[], None] | None = None,
    rsync: Rsync | None = None,
    hooked: Callable[[dict[str, str]], AbstractContextManager[dict[str, str]]] = nullcontext,
) -> Artifact:
    """Return the artifact of `source`: from the store, or built on the host of `shell` and downloaded.

    Parameters:
        with_tests: run `mix test` first; to run them, build even when the store has the artifact.
        anew: build from scratch even when the store has the artifact, and replace that.
        before: called before a build, not when the artifact comes from the store.
        rsync: copies a dirty working tree to a directory of the build host, except the paths of the list.
        hooked: entered around the build, not when the artifact comes from the store.

    Raises:
        Refused: the build host's tools are not what .tool-versions asks for, or another build runs there.
        Failed: the build failed; its last lines are in the details.
    """
    recipe = ask_recipe(shell, inventory, source, emit)
    kept = None if anew else find_kept(recipe, store, emit)
    if kept is not None and not with_tests:
        emit(Note("", f"built already: {inventory.app} {kept.label}"))
        _emit_node(kept, emit)
        return kept
    if before is not None:
        before()
    with hooked({"COMMIT": source.commit}) as about:
        artifact = make(shell, recipe, store, emit, with_tests=with_tests, anew=anew, rsync=rsync)
        about["VERSION"] = artifact.manifest.version
    emit(Settled(shell.name, f"built {inventory.app} {artifact.label}, {artifact.manifest.size / 1e6:.1f} MB"))
    _emit_node(artifact, emit)
    return artifact


def find_kept(recipe: Recipe, store: Store, emit: Emit) -> Artifact | None:
    """Return the store's artifact of that recipe; None where there is none, or, with a warning, it was changed."""
    kept = store.find(recipe.key)
    if kept is None:
        return None
    if not kept.is_unchanged():
        what = f"the artifact {recipe.key} that is kept on this machine was changed since it was built"
        emit(Warn("", f"{what}: building it again"))
        return None
    # Another commit may have the same tree: describe the artifact by the commit that was asked for.
    source = recipe.source
    described = msgspec.structs.replace(kept.manifest, commit=source.commit, subject=source.subject, dirty=source.dirty)
    return Artifact(kept.tarball, described)


def make(
    shell: Shell,
    recipe: Recipe,
    store: Store,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    rsync: Rsync | None = None,
) -> Artifact:
    """Build the artifact of `recipe` on the host of `shell`, and download it into the store."""
    watch = Stopwatch(emit)
    if recipe.source.dirty:
        _send_working_tree(shell, recipe, rsync, watch.emit)
    built = make_release(shell, recipe, watch.emit, with_tests=with_tests, anew=anew)
    watch.begin("download")
    artifact = download(shell, built, describe(recipe, built), store, recipe.key, emit)
    emit(Note(shell.name, f"took {watch}"))
    return artifact


def _send_working_tree(shell: Shell, recipe: Recipe, rsync: Rsync | None, emit: Emit) -> None:
    """Copy a dirty working tree to the build host. Raises: Misuse, where nothing can copy it."""
    if rsync is None:
        raise Misuse("a dirty tree cannot be built here", "commit it")
    emit(Step(shell.name, "rsync the working tree"))
    directory = recipe.source.directory
    left_out = ["/.git", "/_build", *map(this_path, ignored_files(directory))]
    rsync(directory, f"{recipe.inventory.root}/build/carried", left_out)


def _emit_node(artifact: Artifact, emit: Emit) -> None:
    """Warn where the release sets its own node name: two instances on one host need two names."""
    if artifact.manifest.names_node:
        emit(Warn("", RUNTIMES[artifact.manifest.flavor].fixed_node))
