"""Building: turn a source into artifacts, on build hosts (or, for `deploy.local`, on this machine)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import msgspec

from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.carry import carry
from warpbeam.build.download import download
from warpbeam.build.hex import fetch_access
from warpbeam.build.recipe import Recipe, ask_recipe, install_tools
from warpbeam.build.release import describe, make_release
from warpbeam.build.sbom import sbom
from warpbeam.build.secrets import fetch_asset_secrets
from warpbeam.build.signature import trust_of
from warpbeam.build.signing import check_key, sign_kept, sign_made
from warpbeam.build.source import Source
from warpbeam.build.stopwatch import Stopwatch
from warpbeam.error import Misuse, Problem, restated
from warpbeam.event import Emit, Note, Settled, Warn
from warpbeam.fleet.around_phase import around
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import gravest_problem
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.runtime.kinds import RUNTIMES
from warpbeam.size import size
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared import Absent, SharedStore, Unavailable
from warpbeam.store.store import Store
from warpbeam.store.transfer import pull


def find_or_build(
    fleet: Fleet,
    recipes: Mapping[str, Recipe],
    store: DirectoryStore,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
    shared: SharedStore | None = None,
    check: Callable[[], object] = lambda: None,
) -> dict[str, tuple[str, Artifact]]:
    """Return key and artifact of each recipe, by its build host: from a store, or built there and downloaded.

    Parameters:
        shared: the store to look in where `store` does not have the artifact, or None.
        with_tests: run `mix test` first; to run them, build even when the store has the artifact.
        anew: build from scratch even when the store has the artifact, and replace that.
        check: raises a problem that a build would be in vain for; called only before a build.

    Raises:
        Refused: another build runs on a build host.
        Failed: a build failed, or a version could not be installed; its last lines are in the details.
    """
    found: dict[str, tuple[str, Artifact]] = {}
    # Two build hosts of the same kind may have the same recipe: it is built once.
    once = {recipe.key: name for name, recipe in [*recipes.items()][::-1]}
    different = {name: recipe for name, recipe in recipes.items() if once[recipe.key] == name}
    for name, recipe in different.items():
        kept = None if anew else find_stored(recipe, store, shared, emit)
        if kept is not None and not with_tests:
            emit_kept(kept, emit)
            sign_kept(kept, fleet.inventory, store, emit)
            found[name] = recipe.key, kept
    missing = {name: recipe for name, recipe in different.items() if name not in found}
    if missing:
        check()
        found |= build_recipes(fleet, missing, store, emit, with_tests=with_tests, anew=anew)
    return {name: found[once[recipe.key]] for name, recipe in recipes.items()}


def build_hosts(inventory: Inventory) -> tuple[Host, ...]:
    """Return the environment's build hosts. Raises: Misuse, where no host has the role build."""
    if not inventory.build_hosts:
        raise Misuse(
            f"{inventory.file}: no host has the role build",
            "give one `roles: [build]`, and leave it in when you narrow with -H",
        )
    return inventory.build_hosts


def ask_recipes(
    fleet: Fleet, hosts: Sequence[Host], source: Source, emit: Emit, *, pull: str | None = None
) -> dict[str, Recipe | Problem]:
    """Return the recipe of `source` on each build host, or why that has none: its tools are not those asked for."""
    return fleet.everywhere(hosts, lambda host: ask_recipe(fleet.shell(host), fleet.inventory, source, emit, pull=pull))


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


def build_recipes(
    fleet: Fleet,
    recipes: Mapping[str, Recipe],
    store: Store,
    emit: Emit,
    *,
    with_tests: bool = False,
    anew: bool = False,
) -> dict[str, tuple[str, Artifact]]:
    """Build on all build hosts of `recipes` at once, with the hooks of a build; return keys and artifacts by host.

    A key is another than the recipe's where tools had to be installed. Parameters and errors as `find_or_build`; every
    build comes to its end, and a problem has the details of all that failed.
    """
    # Before minutes go into a build.
    trust_of(fleet.inventory)
    if fleet.inventory.build.sign is not None:
        check_key(fleet.inventory.build.sign.key)
    hosts = [fleet.inventory.all_hosts[name] for name in recipes]
    if len(hosts) > 1:
        # Once, before all of them need the values at the same time: a person may have to touch a key.
        fetch_asset_secrets(fleet.inventory)
        fetch_access(fleet.inventory)
    commits = {name: {"COMMIT": recipe.source.commit} for name, recipe in recipes.items()}
    with around(fleet, "build", hosts, emit, commits) as about:
        made = _all_made(
            fleet.everywhere(
                hosts,
                lambda host: _make(fleet, host, recipes[host.name], store, emit, with_tests=with_tests, anew=anew),
            )
        )
        about["VERSION"] = next(iter(made.values()))[1].manifest.version
    for name, (_, artifact) in made.items():
        emit(Settled(name, f"built {fleet.inventory.app} {artifact.label}, {size(artifact.manifest.size)}"))
        _emit_node(artifact, emit)
        sign_made(artifact, fleet.inventory, store, emit)
    return made


def _all_made(results: Mapping[str, tuple[str, Artifact] | Problem]) -> dict[str, tuple[str, Artifact]]:
    """Return the results of all builds. Raises: the gravest problem of those that failed, with the others' details."""
    gravest = gravest_problem(results)
    if gravest is None:
        return {name: result for name, result in results.items() if not isinstance(result, Problem)}
    others = {name: it for name, it in results.items() if isinstance(it, Problem) and it is not gravest}
    if not others:
        raise gravest
    said = tuple(line for problem in others.values() for line in (*problem.details, problem.message))
    more = f" (and {len(others)} more: {', '.join(others)})"
    raise restated(gravest, type(gravest), more, details=(*said, *gravest.details))


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
