"""A release runtime: all that Warpbeam knows of one kind of release, as a value; its commands are in a shell file."""

from __future__ import annotations

import msgspec

# Functions that the shell file of a runtime defines for the launcher, each named KIND_FUNCTION: the first ones find the
# release's program and keep the cookie out of its arguments, the others become the VM. (A release is stopped by
# SIGTERM, which the VM itself obeys.)
PREPARATIONS = ("find_program", "hide_cookie", "refuse_cookie")
COMMANDS = ("start", "remote", "rpc", "eval")
# Functions that its second shell file defines for the build host.
CHECKS = ("tidy", "check", "names_node")


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of release.

    `name` is the word that stands beside each release on a host. `launched` and `built` name the shell files:
    `launched` is a part of the launcher and of a build, `built` of a build alone.

    `prefix` begins all variables that are the release's own, `assigned` are others that its start scripts assign.
    `node`, `cookie`, `tmp` (the directory that the release may write) and `version` are names of variables.
    `as_node` and `alone` are the variables that make an instance an Erlang node, and a VM of its own none. `shared`
    are those that a VM takes from the instance with which it talks.

    `own` are further names that the launcher and the start scripts set, for a release of this kind alone.

    `no_node` is an expression (grep -E) that a line matches which makes an instance no node: in `node_file` of the
    release (a pattern of paths) or in the app's variables; empty where an instance always is one. `no_node_fix` says
    how to change that, `node_hint` where to look. `fixed_node` is the warning about a release that sets the name of its
    node itself.
    """

    name: str
    launched: str
    built: str
    prefix: str
    assigned: frozenset[str]
    own: frozenset[str] = frozenset()
    node: str
    cookie: str
    tmp: str
    version: str
    as_node: dict[str, str]
    alone: dict[str, str]
    shared: tuple[str, ...]
    node_file: str
    no_node: str
    no_node_fix: str
    node_hint: str
    fixed_node: str
