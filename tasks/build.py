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
    },
)
def build_on_host(
    c: Any, ref: str = "HEAD", dirty: bool = False, rebuild: bool = False, clean: bool = False, test: bool = False
) -> None:
    """Build the release of a commit on the build host, and keep it here."""
    from warpbeam.build.build import build
    from warpbeam.build.clean import clean as remove_kept
    from warpbeam.cli.session import session
    from warpbeam.deploy.target import source_of, store_of

    here = session(c)
    source = source_of(here.fleet, here.project, ref, dirty=dirty)
    if clean:
        remove_kept(here.fleet, here.emit)
    build(here.fleet, source, store_of(here.fleet, here.project), here.emit, with_tests=test, anew=rebuild)


TASKS = (build_on_host,)
