"""Artifacts on this machine and in the store that the inventory names."""

from __future__ import annotations

from typing import Any

from invoke import Collection, Exit, task

JSON = "print JSON on standard output"
KEY = "the artifact, as `artifacts.list` shows it"
STORE = "those in the store of the inventory, not those on this machine"


@task(name="list", auto_shortflags=False, help={"json": JSON})
def list_(c: Any, json: bool = False) -> None:
    """List the artifacts that this machine and the store have, and where each is live."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import store_of
    from warpbeam.store.listing import artifact_rows
    from warpbeam.store.place import shared_store

    here = session(c)
    store, shared = store_of(here.fleet, here.project), shared_store(here.fleet)
    found = artifact_rows(store, shared, here.inventory, here.emit)
    here.report.table(found, as_json=json)


@task(positional=["key"], auto_shortflags=False, help={"key": KEY, "json": JSON})
def push(c: Any, key: str, json: bool = False) -> None:
    """Copy an artifact of this machine to the store."""
    from warpbeam.build.signature import trust_of
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import store_of
    from warpbeam.store.listing import built_row
    from warpbeam.store.place import needed_store
    from warpbeam.store.transfer import push as push_artifact

    here = session(c)
    store, trust = store_of(here.fleet, here.project), trust_of(here.inventory)
    push_artifact(_checked(key), store, needed_store(here.fleet), trust, here.emit)
    if json and (pushed := store.find(key)) is not None:
        here.report.table([built_row(key, pushed, trust)], as_json=True)


@task(positional=["key"], auto_shortflags=False, help={"key": KEY, "json": JSON})
def pull(c: Any, key: str, json: bool = False) -> None:
    """Copy an artifact of the store to this machine, and check it."""
    from warpbeam.build.signature import trust_of
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import store_of
    from warpbeam.error import Refused
    from warpbeam.store.listing import built_row
    from warpbeam.store.place import needed_store
    from warpbeam.store.shared import Absent
    from warpbeam.store.transfer import pull as pull_artifact

    here = session(c)
    store, shared = store_of(here.fleet, here.project), needed_store(here.fleet)
    try:
        pulled = pull_artifact(_checked(key), store, shared, here.inventory, here.emit)
    except Absent:
        hint = "`fab ENV artifacts.list` shows those there are; `artifacts.push` where it was built puts it there"
        raise Refused(f"the store {shared.label} has no artifact {key}", hint) from None
    if json:
        here.report.table([built_row(key, pulled, trust_of(here.inventory))], as_json=True)


@task(
    positional=["artifact"],
    auto_shortflags=False,
    help={
        "artifact": "the artifact: its key in `artifacts.list`, several with commas between them, or a file's path",
        "key": "the file of your ssh key, in place of `build.sign`; the public half where the ssh agent has the other",
        "push": "copy it with its signature to the store of the inventory (`build.store`) afterwards",
    },
)
def sign(c: Any, artifact: str, key: str = "", push: bool = False) -> None:
    """Sign an artifact that is built already, in place of an earlier signature."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.sign import sign_artifacts
    from warpbeam.deploy.target import store_of
    from warpbeam.store.place import needed_store, shared_store

    here = session(c)
    shared = needed_store(here.fleet) if push else shared_store(here.fleet)
    sign_artifacts(artifact, key, here.inventory, store_of(here.fleet, here.project), shared, here.emit, push=push)


@task(auto_shortflags=False, help={"store": STORE, "json": JSON})
def verify(c: Any, store: bool = False, json: bool = False) -> None:
    """Check that artifacts are what their manifests say, and who signed them."""
    from warpbeam.build.signature import trust_of
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import store_of
    from warpbeam.error import AMISS
    from warpbeam.store.place import needed_store
    from warpbeam.store.verify import verify_here, verify_shared

    here = session(c)
    trust = trust_of(here.inventory)
    if store:
        found = verify_shared(needed_store(here.fleet), trust)
    else:
        found = verify_here(store_of(here.fleet, here.project), trust)
    here.report.table(found, as_json=json)
    if any("problem" in row for row in found):
        raise Exit(code=AMISS)


@task(
    auto_shortflags=False,
    help={
        "keep": "how many of the newest stay (default 10); those that are live stay too",
        "store": STORE,
        "json": JSON,
    },
)
def prune(c: Any, keep: int = 10, store: bool = False, json: bool = False) -> None:
    """Remove old artifacts of this machine or of the store."""
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import store_of
    from warpbeam.error import Misuse
    from warpbeam.event import Note
    from warpbeam.store.place import needed_store
    from warpbeam.store.prune import prune_here, prune_shared

    here = session(c)
    if keep < 1:
        raise Misuse(f"--keep {keep}: expected at least 1")
    ours = store_of(here.fleet, here.project)
    pruned = prune_shared(ours, needed_store(here.fleet), keep) if store else prune_here(ours, keep)
    rows = [{"key": key, "state": "removed"} for key in pruned.removed]
    rows += [{"key": key, "state": "kept: it is live"} for key in pruned.live]
    if rows or json:
        here.report.table(rows, as_json=json)
    else:
        here.emit(Note("", f"nothing to remove: there are no more than {keep}"))


def _checked(key: str) -> str:
    """Return `key`. Raises: Misuse, where it is none."""
    from warpbeam.error import Misuse
    from warpbeam.store.directory import KEY

    if not KEY.fullmatch(key):
        raise Misuse(f"{key!r} is no artifact's key", "a key has 20 hexadecimal digits: see `fab ENV artifacts.list`")
    return key


namespace = Collection(list_, push, pull, sign, verify, prune)
