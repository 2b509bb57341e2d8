"""The files that Distillery needs in an app's repository."""

from __future__ import annotations

from typing import Any

from invoke import task


@task(
    auto_shortflags=False,
    help={
        "source": "the directory of the app's mix.exs (default: that of fabfile.py)",
        "release-name": "the release's name (default: the app's)",
    },
)
def distillery(c: Any, source: str = "", release_name: str = "") -> None:
    """Write rel/config.exs and rel/vm.args.eex for Distillery, if they are missing."""
    from warpbeam.cli.session import session
    from warpbeam.init.distillery import init_distillery
    from warpbeam.init.request import typed_path

    here = session(c)
    init_distillery(typed_path(source) if source else here.project, release_name, here.emit)
