"""Releases: rollback, plan, list and history."""

from __future__ import annotations

from typing import Any

from invoke import task

from . import rolling, rows


@task(
    auto_shortflags=False,
    iterable=["skip"],
    help={
        "to": "the release, version or commit to go back to (default: on every host the one before the live one)",
        "force": rolling.FORCE,
        **rolling.HELP,
    },
)
def rollback(
    c: Any,
    to: str = "",
    force: bool = False,
    batch: str = "",
    pause: str = "",
    on_failure: str = "",
    skip: Any = None,
    skip_unreachable: bool = False,
    wait: str = "",
    jobs: str = "",
) -> None:
    """Roll every host back to its previous release."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.put_live import rolled_back, share_live
    from warpbeam.deploy.rollback import roll_back
    from warpbeam.deploy.target import store_of
    from warpbeam.store.place import shared_store

    here = session(c)
    here.fleet.set_jobs(jobs)
    policy = rolling.policy_of(here.fleet, batch, pause, on_failure)
    with rolling.explained(here, here.fleet):
        selection, store = rolling.selection_of(skip, skip_unreachable, wait), store_of(here.fleet, here.project)
        plan = roll_back(here.fleet, selection, policy, here.emit, to=to, store=store, force=force)
        if shared := shared_store(here.fleet):
            share_live(rolled_back(plan), shared, here.inventory.name, here.emit)


@task(
    auto_shortflags=False,
    iterable=["artifact"],
    help={
        "ref": "the commit, branch or tag that would be deployed (default HEAD)",
        "dirty": "the working tree as it stands",
        "artifact": "this one instead: a key, here or in the store, or a file; once for each kind of host",
        "json": "print JSON on standard output",
    },
)
def plan(c: Any, ref: str = "", dirty: bool = False, artifact: Any = None, json: bool = False) -> None:
    """Show what `deploy` would do: commits and migrations, and per host from what to what."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.builds import builders_to_show
    from warpbeam.deploy.named_artifact import check_artifacts_alone, check_one_source, chosen_manifest, split_names
    from warpbeam.deploy.preview import preview_artifacts, preview_deploy
    from warpbeam.deploy.signatures import signers_of_named
    from warpbeam.deploy.target import source_of_artifact, source_to_plan, store_of
    from warpbeam.store.place import shared_store

    here = session(c)
    fleet, store = here.fleet, store_of(here.fleet, here.project)
    check_artifacts_alone(artifact or (), ref, dirty)
    if artifact:
        shared = shared_store(fleet)
        made = {name: chosen_manifest(name, here.inventory, store, shared) for name in split_names(artifact)}
        check_one_source(made)
        signers = signers_of_named(made, here.inventory, store, shared, here.emit)
        source = source_of_artifact(fleet, here.project, next(iter(made.values())))
        found = preview_artifacts(fleet, made, source, signers)
    else:
        source = source_to_plan(fleet, here.project, ref or "HEAD", here.emit, dirty=dirty)
        found = preview_deploy(fleet, source, store, builders_to_show(fleet, source))
    here.report.plan(found, as_json=json)


@task(auto_shortflags=False, help={"json": "print JSON on standard output"})
def releases(c: Any, json: bool = False) -> None:
    """List the releases that every host has, and which is live."""
    from warpbeam.cli.session import session
    from warpbeam.operate.releases import release_rows

    here = session(c)
    with here.report.asking():
        found = release_rows(here.fleet)
    rows.show(here, found, as_json=json)


@task(
    auto_shortflags=False,
    help={"lines": "how many of the last entries of each host (default 20)", "json": "print JSON on standard output"},
)
def history(c: Any, lines: int = 20, json: bool = False) -> None:
    """List who deployed what, when, and how it ended, on every host."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.history import history_rows, rows_for_people

    here = session(c)
    with here.report.asking():
        found = history_rows(here.fleet, lines, here.emit)
    rows.show(here, found if json else rows_for_people(found), as_json=json)


TASKS = (rollback, plan, releases, history)
