"""The preview of a setup: what it changes on each host, and what a person should mend there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpbeam.event import Emit, Line, Note, Warn
from warpbeam.inventory.schema import Inventory
from warpbeam.provision.binding import unnamed
from warpbeam.provision.cookie import Cookie
from warpbeam.provision.difference import Difference
from warpbeam.provision.host_state import HostState
from warpbeam.provision.rights import has_password
from warpbeam.provision.text_diff import compared


def emit_owner(facts: Mapping[str, HostState], inventory: Inventory, cookie: str, emit: Emit) -> None:
    """Note whose cookie a host without one takes: with it, its nodes and theirs may run code on each other's hosts."""
    having = [name for name, found in facts.items() if found.cookie == cookie]
    for host in inventory.app_hosts:
        if having and not facts[host.name].cookie:
            emit(Note(host.name, f"takes the cookie of {', '.join(having)}"))


def emit_cookie(name: str, cookie: Cookie, left_out: Sequence[str], emit: Emit, *, dry: bool) -> None:
    """Report what happens to a cookie that stood in every instance's arguments, as earlier versions started them."""
    what = "the cookie, which every local user could read until now,"
    if cookie.shown:
        emit(
            Warn(name, f"{what} stays: -H leaves out {', '.join(left_out)}; `setup` of all hosts gives them a new one")
        )
        return
    by = "that of the other hosts" if cookie.joined else "a new one on all hosts"
    emit(Note(name, f"{'would change' if dry else 'changing'}: {what} replaced by {by}"))


def emit_difference(name: str, plan: Difference, found: HostState, key: str, emit: Emit, *, dry: bool) -> None:
    """Report what changes on a host; with a `key`, also how its files differ, without secrets."""
    for sentence in plan.sentences():
        emit(Note(name, ("would change: " if dry else "changing: ") + sentence))
    if key:
        for file in plan.files:
            for line in compared(file, found, key):
                emit(Line(name, line))


def emit_risks(name: str, inventory: Inventory, found: HostState, emit: Emit) -> None:
    """Warn about what setup leaves as it is on a host, and a person should mend."""
    if any(wrong := unnamed(inventory.of(inventory.hosts[name]), found)):
        emit(Warn(name, f"{wrong[0]}, where systemd has BPF; here it has not: {wrong[1]}"))
    if has_password(inventory, found):
        deploy = inventory.users.deploy
        emit(Warn(name, f"{deploy} has a password: `usermod --password '*' {deploy}` there leaves keys alone"))
