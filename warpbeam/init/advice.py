"""The work that `init` leaves to a person: each sentence says where, and what."""

from __future__ import annotations

from collections.abc import Iterator

from warpbeam.build.git import run_git
from warpbeam.init.files import FilePlan
from warpbeam.init.inventory import NEW_KEY, own_keys, secret_names, variable_here
from warpbeam.init.repository import App, seen_below
from warpbeam.init.request import PLACEHOLDER, InitRequest, Names
from warpbeam.inventory.files import seen


def advise(request: InitRequest, app: App, names: Names, plan: FilePlan, inventory: str) -> Iterator[str]:
    """Yield what is left to do before the first deploy, in this order; `inventory` is the text of the environment."""
    yield from plan.missing
    yield from _about_inventory(request, app, names, inventory)
    yield from _about_release(app)
    yield from _about_running(app)
    yield from _about_git(app, plan)


def next_commands() -> tuple[str, ...]:
    """Return the commands after that work."""
    return (
        "fab production hosts.trust    # record the hosts' keys, after looking at them",
        "fab production setup deploy",
    )


def _about_inventory(request: InitRequest, app: App, names: Names, inventory: str) -> Iterator[str]:
    file = seen(request.inventory)
    if found := dict.fromkeys(PLACEHOLDER.findall(inventory)):
        yield f"put real addresses and names into {file} in place of {', '.join(found)}"
    secrets = [name for name in secret_names(app) if f"{{env: {variable_here(names, name)}}}" in inventory]
    if secrets:
        here = ", ".join(variable_here(names, name) for name in secrets)
        made = "; `mix phx.gen.secret` makes a SECRET_KEY_BASE" if "SECRET_KEY_BASE" in secrets else ""
        yield f"export {here}, or name another source under `secrets` in {file}{made}"
    if not own_keys():
        yield f"make a key: ssh-keygen -t ed25519, or name another than {NEW_KEY}.pub under `deploy_keys` in {file}"


def _about_release(app: App) -> Iterator[str]:
    if app.mix.apps_path and not app.mix.releases:
        yield (
            f"add to mix.exs of the umbrella: releases: [{app.release}: [applications: [MY_APP: :permanent]]], with the"
            " apps that run"
        )
    others = [name for name in app.mix.releases if name != app.release]
    if others:
        yield f"mix.exs has several releases: `{app.release}` is deployed; `release` can name {' or '.join(others)}"
    if app.mix.tars:
        yield "the step `:tar` in `releases` of mix.exs is not needed: Warpbeam makes its own tarball"
    if not app.locked:
        yield "commit mix.lock (`mix deps.get` makes it): a release is built from locked dependencies"
    if not app.tools:
        yield "commit .tool-versions, where the build host has several versions of Elixir or Erlang"
    if app.private:
        yield f"let the build host fetch {', '.join(app.private)}, which git gets over ssh: docs/dependencies.md"


def _about_running(app: App) -> Iterator[str]:
    if not app.reads_port:
        yield "read PORT in config/runtime.exs: each slot of a host has a port of its own"
    if not app.health:
        plug = "docs/phoenix.md, step 3" if app.has("phoenix") else "docs/zero-downtime.md"
        yield f"answer GET /health with 200 when the app is ready ({plug}), or name its path under `health`"
    if not app.migrate and (app.migrations or app.has("ecto_sql")):
        module = "mix phx.gen.release" if app.has("phoenix") else "a module NAME.Release with `def migrate`"
        yield f"make the migrations runnable in a release ({module}), and name the call under `deploy: migrate`"
    if not app.drains:
        yield "add the drain plug of docs/zero-downtime.md, then `strategy: blue-green`: deploys fail no request"


def _about_git(app: App, plan: FilePlan) -> Iterator[str]:
    files = [file.absolute() for file in (*(new.file for new in plan.new), *plan.kept)]
    own = [seen_below(app.directory, file) for file in files if file.is_relative_to(app.directory)]
    dirty = [name for name in own if run_git(app.directory, "status", "--porcelain", "--", name).stdout]
    if dirty:
        yield f"commit it, since a deploy refuses a dirty working tree: git add {' '.join(dirty)} && git commit"
