"""The text of an environment's file, from what an app's repository has."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from warpbeam.host.template import filled
from warpbeam.init.repository import App
from warpbeam.init.request import APP_HOST, BUILD_HOST, InitRequest, Names
from warpbeam.inventory.reserved import variable_owner

# The first column of a comment, and the width of the file.
COLUMN = 24
WIDEST = 100
# Public keys in the order in which ssh tries their private halves (ssh_config(5), IdentityFile).
KEYS = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
NEW_KEY = "id_ed25519"


class NewHost(msgspec.Struct, frozen=True):
    """A host as it is written: its name, address and roles, and what it does."""

    name: str
    address: str
    roles: tuple[str, ...]
    comment: str


class Setting(msgspec.Struct, frozen=True):
    """A variable of the app with its value, and what the value is for."""

    name: str
    text: str
    comment: str


def inventory_text(request: InitRequest, app: App, names: Names) -> str:
    """Return the text of the environment's file."""
    text = filled(
        "init/inventory.yml.j2",
        value=value,
        names=names,
        source=_source(request, app),
        hosts=hosts(request, app),
        keys=", ".join(f"~/.ssh/{name}.pub" for name in own_keys() or (NEW_KEY,)),
        health=app.health or "/health",
        drains=app.drains,
        migrate=app.migrate,
        env=settings(app, names),
        secrets=[(name, variable_here(names, name)) for name in secret_names(app)],
        configuration=app.configuration,
        optional=", ".join(_optional(app)),
    )
    return "\n\n".join(_aligned(block.splitlines()) for block in text.strip().split("\n\n")) + "\n"


def hosts(request: InitRequest, app: App) -> tuple[NewHost, ...]:
    """Return the hosts: those that were asked for, else placeholders. One machine may build and run the app."""
    build, found = request.build_host or BUILD_HOST, []
    addresses = tuple(dict.fromkeys(request.app_hosts or (APP_HOST,)))
    if build not in addresses:
        found.append(NewHost("build1", build, ("build",), "has Elixir, and builds the release"))
    for number, address in enumerate(addresses, 1):
        roles = ["app", *(["build"] if address == build else []), *(["migrate"] if app.migrate and number == 1 else [])]
        comment = "runs the app" + (", and migrates before a switch" if "migrate" in roles else "")
        found.append(NewHost(f"web{number}", address, tuple(roles), comment))
    return tuple(found)


def settings(app: App, names: Names) -> tuple[Setting, ...]:
    """Return the app's variables whose values a Phoenix app expects, and that are no secret."""
    read = {variable.name for variable in app.variables}
    host = f"{names.app.replace('_', '-')}.example.com"
    known = (
        Setting("PHX_SERVER", "true", "the release listens"),
        Setting("PHX_HOST", host, "the name in links, and the origin that sockets accept"),
    )
    return tuple(each for each in known if each.name in read)


def secret_names(app: App) -> tuple[str, ...]:
    """Return the variables without which the app does not start, and whose values nobody can guess."""
    known = {"PHX_SERVER", "PHX_HOST"}
    needed = (each.name for each in app.variables if each.required)
    return tuple(name for name in needed if name not in known and not variable_owner(name))


def variable_here(names: Names, secret: str) -> str:
    """Return the variable on this machine for a secret.

    It has the app's name in front: a developer's own DATABASE_URL leads to another database.
    """
    return f"{names.app.upper()}_{secret}"


def own_keys() -> tuple[str, ...]:
    """Return the keys of this user that ssh tries by itself: which of them is unlocked is not known here."""
    return tuple(name for name in KEYS if Path("~/.ssh", f"{name}.pub").expanduser().is_file())


def value(text: str) -> str:
    """Return `text` as a plain scalar of YAML, or in quotes where a plain one would be something else."""
    plain = re.fullmatch(r"[A-Za-z][\w.-]*|[./][\w./-]*|\d+\.\d+\.\d+\.\d+", text, re.ASCII)
    return text if plain and text.lower() not in ("true", "false", "null") else json.dumps(text)


def _source(request: InitRequest, app: App) -> str:
    """Return the app's directory seen from the file; empty where it is the default, the directory of fabfile.py."""
    if app.directory == request.project:
        return ""
    return os.path.relpath(app.directory, request.inventories.resolve())


def _optional(app: App) -> Iterator[str]:
    for variable in app.variables:
        if (
            not variable.required
            and variable.name not in ("PHX_SERVER", "PHX_HOST")
            and not variable_owner(variable.name)
        ):
            yield variable.name


def _aligned(lines: list[str]) -> str:
    """Return the lines of a paragraph with their comments in one column.

    A comment that would pass the edge stands above its line; a comment of its own is folded.
    """
    parts = [_parted(line) for line in lines]
    column = max((len(text) + 2 for text, comment in parts if text and comment and text[-1] != ":"), default=0)
    done: list[str] = []
    for text, comment in parts:
        start = f"{text}  " if text.endswith(":") else f"{text:<{max(column, COLUMN)}}"
        if not text:
            done += textwrap.wrap(comment, WIDEST, subsequent_indent="# ", break_long_words=False)
        elif not comment:
            done.append(text)
        elif len(start) + len(comment) > WIDEST - 2:
            done += [f"{text[: len(text) - len(text.lstrip())]}# {comment}", text]
        else:
            done.append(f"{start}# {comment}")
    return "\n".join(done)


def _parted(line: str) -> tuple[str, str]:
    """Return the text of a line and its comment."""
    if line.startswith("#"):
        return "", line
    text, _, comment = line.partition("  # ")
    return text, comment
