"""The closed set of release runtimes, and what all of them need together: releases of each may lie on one host."""

from __future__ import annotations

from warpbeam.runtime.distillery import DISTILLERY
from warpbeam.runtime.mix import MIX
from warpbeam.runtime.runtime import Runtime

RUNTIMES = {runtime.name: runtime for runtime in (MIX, DISTILLERY)}
# The kind of a release without a word about it: earlier versions of Warpbeam deployed no other.
UNNAMED = MIX
# The variable in which root's file brings the cookie to the launcher, whatever the kind of the release.
COOKIE = MIX.cookie


def kind_of(flavor: str) -> Runtime:
    """Return the kind of release that `build.flavor` names; Mix's where a build is to find it (`auto`)."""
    return RUNTIMES.get(flavor, UNNAMED)


def described(kind: str, release: str) -> str:
    """Return the text that lies beside a release: its kind and its name, a line each (`.warpbeam/runtime`)."""
    return f"{RUNTIMES[kind].name}\n{release}\n"


def slot_settings(node: str, directory: str) -> dict[str, str]:
    """Return the variables of an instance that is the Erlang node `node` and may write in `directory`."""
    settings: dict[str, str] = {}
    for runtime in RUNTIMES.values():
        settings |= {runtime.node: node, **runtime.as_node, runtime.tmp: directory}
    return settings


def alone_settings() -> dict[str, str]:
    """Return the variables of a VM that is no Erlang node."""
    return {name: value for runtime in RUNTIMES.values() for name, value in runtime.alone.items()}


def variable_user(name: str) -> str:
    """Return why an inventory may not set the variable `name`, where it is a release's own; empty where it may."""
    for runtime in RUNTIMES.values():
        if name in runtime.assigned:
            return "the release's start script has it for itself, and the app would see that"
        # All of the prefix is reserved: consoles and migrations drop every such variable, whether Mix knows it or not.
        if name.startswith(runtime.prefix):
            own = f"{runtime.prefix} variables"
            return f"Warpbeam and the release's start script set {own}, for each slot and release anew"
    return ""


def own_variable_user(flavor: str, name: str) -> str:
    """Return why an inventory with that `build.flavor` may not set `name`, where releases of others may use it."""
    if name in kind_of(flavor).own:
        return f"with build.flavor: {flavor}, the release's start script has it for itself"
    return ""
