"""Deploys of releases."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task

from . import rolling

HELP = {
    "ref": "the commit, branch or tag to deploy (default HEAD)",
    "force": "put the release live again where it is live already",
    "rebuild": "build from nothing, although the release is kept already",
    "no-migrate": "do not run the migrations",
}
ARTIFACT = "put this one live and build nothing: a key, here or in the store, or the path of its file"


@task(
    default=True,
    auto_shortflags=False,
    iterable=["skip", "artifact"],
    help={
        **HELP,
        "dirty": "deploy the working tree as it stands, uncommitted changes included",
        "artifact": f"{ARTIFACT}; once for each kind of host",
        "setup-new": "first do what setup does, as admin, on app hosts that nothing has been set up on yet",
        "release": "`live`: what this machine put live last and the other hosts run, for one that joins them",
        **rolling.HELP,
    },
)
def deploy(
    c: Any,
    ref: str = "",
    release: str = "",
    artifact: Any = None,
    dirty: bool = False,
    force: bool = False,
    rebuild: bool = False,
    no_migrate: bool = False,
    batch: str = "",
    pause: str = "",
    on_failure: str = "",
    skip: Any = None,
    skip_unreachable: bool = False,
    wait: str = "",
    jobs: str = "",
    setup_new: bool = False,
) -> None:
    """Build if needed, and put the release live on every app host."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.deploy import deploy as put_live
    from warpbeam.deploy.named_artifact import check_artifacts_alone, split_names
    from warpbeam.deploy.new_hosts import set_up_new
    from warpbeam.deploy.target import TargetRequest
    from warpbeam.error import Misuse
    from warpbeam.store.place import shared_store

    here = session(c)
    if release not in ("", "live"):
        raise Misuse(f"--release {release}: expected `live`", "to go back to an earlier release: rollback --to")
    if release and (ref or dirty or rebuild):
        raise Misuse("--release live and --ref, --dirty or --rebuild say two different things", "give one of them")
    check_artifacts_alone(artifact or (), ref, release, dirty, rebuild)
    here.fleet.set_jobs(jobs)
    policy = rolling.policy_of(here.fleet, batch, pause, on_failure)
    selection = rolling.selection_of(skip, skip_unreachable, wait)
    asked = TargetRequest(
        here.project,
        ref or "HEAD",
        live=bool(release),
        dirty=dirty,
        anew=rebuild,
        named=split_names(artifact or ()),
        shared=shared_store(here.fleet),
    )
    with rolling.explained(here, here.fleet):
        if setup_new:
            set_up_new(here.fleet, selection, here.emit)
        put_live(here.fleet, asked, selection, policy, here.emit, force=force, migrate=not no_migrate)


@task(default=True, auto_shortflags=False, help={**HELP, "artifact": ARTIFACT})
def local(
    c: Any,
    ref: str = "",
    artifact: str | None = None,
    force: bool = False,
    rebuild: bool = False,
    no_migrate: bool = False,
) -> None:
    """Build on this machine and put the release live on this machine, without ssh."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.deploy import deploy as put_live
    from warpbeam.deploy.named_artifact import check_artifacts_alone, split_names
    from warpbeam.deploy.target import TargetRequest
    from warpbeam.store.place import shared_store

    here = session(c)
    fleet = here.local_fleet
    policy = rolling.policy_of(fleet, "", "", "")
    named = () if artifact is None else (artifact,)
    check_artifacts_alone(named, ref, rebuild)
    asked = TargetRequest(
        here.project,
        ref or "HEAD",
        anew=rebuild,
        noted=False,
        named=split_names(named),
        shared=shared_store(here.fleet),
    )
    with rolling.explained(here, fleet):
        put_live(fleet, asked, rolling.selection_of(), policy, here.emit, force=force, migrate=not no_migrate)


@task(
    auto_shortflags=False,
    help={"to": "the release, version or commit to go back to (default: the one before)"},
)
def rollback(c: Any, to: str = "") -> None:
    """Roll this machine back to its previous release, without ssh."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.rollback import roll_back

    here = session(c)
    fleet = here.local_fleet
    with rolling.explained(here, fleet):
        roll_back(fleet, rolling.selection_of(), rolling.policy_of(fleet, "", "", ""), here.emit, to=to)


namespace = Collection("deploy", deploy)
_local = Collection("local", local, rollback)
namespace.add_collection(_local)
