"""Builds of releases."""

from __future__ import annotations

from typing import Any

from invoke import task


@task(
    auto_shortflags=False,
    help={
        "ref": "the commit, branch or tag to build (default HEAD)",
        "dirty": "build the working tree as it stands, uncommitted changes included",
        "rebuild": "build from nothing, although the release is kept already",
        "clean": "first remove what earlier builds of the app left on the build host",
        "test": "run `mix test` on the build host before, and build nothing when it fails",
        "here": "build on this machine, as this user, as a CI runner does",
        "push": "copy the artifact to the store of the inventory (`build.store`) afterwards",
        "json": "print the artifact's key, checksum and files as JSON on standard output",
    },
)
def build_on_host(
    c: Any,
    ref: str = "HEAD",
    dirty: bool = False,
    rebuild: bool = False,
    clean: bool = False,
    test: bool = False,
    here: bool = False,
    push: bool = False,
    json: bool = False,
) -> None:
    """Build the release of a commit on the build host, and keep it here."""
    from contextlib import nullcontext

    from warpbeam.build.build import find_or_build
    from warpbeam.build.clean import clean as remove_kept
    from warpbeam.build.signature import trust_of
    from warpbeam.cli.session import session
    from warpbeam.deploy.builds import needed_recipes
    from warpbeam.deploy.target import source_of, store_of
    from warpbeam.event import Note
    from warpbeam.fleet.here import named_here
    from warpbeam.store.listing import built_row
    from warpbeam.store.place import needed_store, shared_store
    from warpbeam.store.transfer import push as push_artifact

    asking = session(c)
    # Before a build that takes minutes.
    shared = needed_store(asking.fleet) if push else shared_store(asking.fleet)
    if here:
        asking.here_fleet.make_root()
    fleet = asking.here_fleet if here else asking.fleet
    source, store = source_of(fleet, asking.project, ref, dirty=dirty), store_of(fleet, asking.project)
    with named_here() if here else nullcontext():
        if clean:
            remove_kept(fleet, asking.emit)
        recipes = needed_recipes(fleet, source, asking.emit)
        made = find_or_build(fleet, recipes, store, asking.emit, with_tests=test, anew=rebuild, shared=shared)
    artifacts, trust = dict(made.values()), trust_of(asking.inventory)
    if push and shared is not None:
        for key in artifacts:
            push_artifact(key, store, shared, trust, asking.emit)
    if json:
        rows = [built_row(key, artifact, trust) for key, artifact in artifacts.items()]
        asking.report.table(rows, as_json=True)
    else:
        asking.emit(Note("", f"`fab ENV deploy --artifact {','.join(artifacts)}` puts it live without a build"))


TASKS = (build_on_host,)
