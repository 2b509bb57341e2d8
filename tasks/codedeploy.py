"""Deploys by AWS CodeDeploy."""

from __future__ import annotations

from typing import Any

from invoke import Collection, task

JSON = "print JSON on standard output"


@task(
    auto_shortflags=False,
    help={
        "ref": "the commit, branch or tag (default HEAD)",
        "artifact": "this one, and build nothing: a key, here or in the store, or the path of its file",
        "dirty": "the working tree as it stands, uncommitted changes included",
        "rebuild": "build from nothing, although the release is kept already",
        "output": "the file to write (default: in .warpbeam/codedeploy)",
        "json": JSON,
    },
)
def bundle(
    c: Any,
    ref: str = "",
    artifact: str | None = None,
    dirty: bool = False,
    rebuild: bool = False,
    output: str = "",
    json: bool = False,
) -> None:
    """Build if needed, and write a revision for CodeDeploy, which any host can also run by hand."""
    from pathlib import Path

    import msgspec

    from warpbeam.cli.session import session
    from warpbeam.deploy.named_artifact import check_artifacts_alone
    from warpbeam.deploy.target import TargetRequest
    from warpbeam.integrate.codedeploy import bundle as write_bundle
    from warpbeam.store.place import shared_store

    here = session(c)
    named = () if artifact is None else (artifact,)
    check_artifacts_alone(named, ref, dirty, rebuild)
    asked = TargetRequest(
        here.project,
        ref or "HEAD",
        dirty=dirty,
        anew=rebuild,
        noted=False,
        named=named,
        shared=shared_store(here.fleet),
    )
    made = write_bundle(here.fleet, asked, Path(output) if output else None, here.emit)
    if json:
        here.report.table([msgspec.to_builtins(made)], as_json=True)


namespace = Collection(bundle)
