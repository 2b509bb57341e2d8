"""The files under rel/ that Distillery needs, as `fab init.distillery` writes them: for an app that has none."""

from __future__ import annotations

import re
from os.path import lexists
from pathlib import Path

import msgspec

from warpbeam.error import Misuse
from warpbeam.event import Emit, Note
from warpbeam.init.files import NewFile, check_writable, write_file

_APP = re.compile(r"^[^#\n]*\bapp:\s*:([a-z][a-z0-9_]{0,30})\b", re.MULTILINE)
_UMBRELLA = re.compile(r"^[^#\n]*\bapps_path:", re.MULTILINE)
# The version in mix.lock (`{:hex, :distillery, "1.5.5"`), or what mix.exs asks for (`{:distillery, "~> 1.5"`).
_VERSION = re.compile(r'^[^#\n]*:distillery,\s*"[~>=<\s]*([0-9]+)(?:\.([0-9]+))?', re.MULTILINE)

_CONFIG = """\
# The releases that Distillery makes of this app: `{task}`.
#
# No plugin is loaded here. Where you have some in rel/plugins, load them first:
#   "rel/plugins/*.exs" |> Path.wildcard() |> Enum.each(&Code.eval_file/1)

use {module},
  # The release and the environment of a build that names none.
  default_release: :{release},
  default_environment: Mix.env()

environment :prod do
  # The release brings its own Erlang: hosts need none, and start it by that.
  set include_erts: true
  # Sources are not for hosts.
  set include_src: false
  # Distillery wants a cookie. It opens nothing: `fab ENV setup` makes one for each environment, and the release's
  # start script gets that one where no other user of a host can read it.
  set cookie: :"replaced-on-each-host"
  # Arguments of the VM: a template, filled when the release is made.
  set vm_args: "rel/vm.args.eex"
end

release :{release} do
  set version: {version}
  set applications: [
    # Lets you look into a running node.
    :runtime_tools{applications}
  ]
end
"""

_VM_ARGS = """\
## Arguments of the Erlang VM. Distillery fills in this template when it makes the release. Where a dollar sign with a
## variable's name in braces stands, the value on the host takes its place when the release starts (REPLACE_OS_VARS).

## The name of the node. Each slot of a host has its own, which replaces this one.
-name <%= release_name %>@127.0.0.1

## No -setcookie: every user of a host can read the arguments of a program. Hosts have the cookie in a file.

## Threads for drivers that block.
+A 64

## How many ports (files, sockets) may be open at once. `vm.ports` of the inventory replaces it.
+Q 65536

## No break handler: Ctrl-C, or a signal of a terminal, does not stop the VM.
+Bd
"""


class Project(msgspec.Struct, frozen=True):
    """The Mix project of a directory, as its files name it. `apps` are those of an umbrella."""

    name: str
    apps: tuple[str, ...]
    distillery: tuple[int, int]


def init_distillery(directory: Path, release: str, emit: Emit) -> None:
    """Write rel/config.exs and rel/vm.args.eex below `directory`, and leave what is there as it is.

    Parameters:
        release: the name of the release; empty: the app's own.

    Raises:
        Misuse: there is no Mix project, or it does not say the name of its app.
        Refused: a file cannot be written.
    """
    project = read_project(directory)
    texts = {"rel/config.exs": config_text(project, release or project.name), "rel/vm.args.eex": _VM_ARGS}
    if not (release or project.name):
        raise Misuse(f"{directory / 'mix.exs'} names no app", "name the release: --release-name NAME")
    new = {name: NewFile(directory / name, text) for name, text in texts.items() if not lexists(directory / name)}
    check_writable(new.values())
    for name in texts:
        if name in new:
            write_file(new[name])
        emit(Note("", f"wrote {name}" if name in new else f"{name} is there already; nothing of it was changed"))


def read_project(directory: Path) -> Project:
    """Return what the files of a Mix project say. Raises: Misuse, where there is none."""
    text = _text(directory / "mix.exs")
    if not text:
        raise Misuse(f"{directory} holds no mix.exs", "give the app's directory: --source DIRECTORY")
    asked = _VERSION.search(_text(directory / "mix.lock")) or _VERSION.search(text)
    version = (int(asked[1]), int(asked[2] or 0)) if asked else (2, 1)
    if _UMBRELLA.search(text):
        found = (_APP.search(_text(file)) for file in sorted(directory.glob("apps/*/mix.exs")))
        return Project("", tuple(match[1] for match in found if match), version)
    app = _APP.search(text)
    return Project(app[1] if app else "", (), version)


def config_text(project: Project, release: str) -> str:
    """Return the text of rel/config.exs."""
    renamed = project.distillery >= (2, 1)
    return _CONFIG.format(
        task="mix distillery.release" if renamed else "mix release",
        module="Distillery.Releases.Config" if renamed else "Mix.Releases.Config",
        release=release,
        # An umbrella has no version of its own.
        version=f"current_version(:{project.name or next(iter(project.apps), release)})",
        applications="".join(f",\n    {app}: :permanent" for app in project.apps),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
