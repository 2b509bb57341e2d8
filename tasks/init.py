"""The first files of an app that is to be deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke import Collection, task

from .init_distillery import distillery


@task(
    auto_shortflags=False,
    default=True,
    help={
        "source": "the directory of the app's mix.exs (default: that of fabfile.py)",
        "org": "the organization; default: the owner in the URL of git's remote, else the app's name",
        "app-hosts": "the addresses of the hosts that run the app, with commas between them",
        "build-host": "the address of the host that builds the release",
        "yes": "write without asking",
    },
)
def init(c: Any, source: str = "", org: str = "", app_hosts: str = "", build_host: str = "", yes: bool = False) -> None:
    """Write fabfile.py, fabric.yaml and an inventory for the app in this repository, if they are missing."""
    from warpbeam.cli.question import ask
    from warpbeam.cli.session import session
    from warpbeam.init.init import init
    from warpbeam.init.request import InitRequest, typed_path

    from . import inventories

    here = session(c)
    request = InitRequest(
        project=here.project,
        source=typed_path(source) if source else here.project,
        inventories=inventories(here.project),
        org=org,
        app_hosts=tuple(filter(None, app_hosts.split(","))),
        build_host=build_host,
    )

    def confirm(question: str) -> bool:
        return yes or ask(question, "there is no terminal to ask on whether to write these files", "add --yes")

    init(request, confirm, here.emit)


namespace = Collection("init", init, distillery)


def main() -> None:
    """Run `init` without a fabfile, in the working directory: the command `warpbeam-init` of the wheel."""
    from warpbeam.cli.starter import start

    start(init, "warpbeam-init", Path.cwd())
