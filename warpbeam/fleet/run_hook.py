"""One hook: a command of the user's own, as the phase that runs it on a host or here.

docs/hooks.md explains its environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from warpbeam.environ import for_person
from warpbeam.error import Misuse
from warpbeam.host.phase import Phase
from warpbeam.inventory.hooks import Hook, Hooked
from warpbeam.inventory.schema import Host, Inventory

When = Literal["before", "after", "failed"]
# Bytes of a script that is sent to a host.
LONGEST = 1 << 20
SHOWN = 60


class Ran(msgspec.Struct, frozen=True):
    """An answer without information: the hook is done."""

    done: bool


class RunHook(Phase[Ran], frozen=True, kw_only=True):
    """Run a program of the user's own; the head of `warpbeam/fleet/run_hook.sh` explains its fields."""

    script: ClassVar[str] = "fleet/run_hook"
    answer: ClassVar[type] = Ran
    title: str
    program: str
    text: str
    directory: str
    variables: tuple[str, ...]
    seconds: int


def hook_phase(inventory: Inventory, hook: Hook, variables: Mapping[str, str]) -> RunHook:
    """Return the phase that runs a hook with these variables. Raises: Misuse, where a script cannot be sent."""
    here = hook.on == "here"
    kept = for_person() if here else {}
    return RunHook(
        title=title_of(hook),
        program=str(hook.script) if here and hook.script is not None else "",
        text=program_text(inventory, hook),
        directory=str(inventory.file.parent if here else inventory.root),
        variables=tuple(f"{name}={value}" for name, value in {**kept, **variables}.items()),
        seconds=math.ceil(hook.timeout),
    )


def hook_variables(
    inventory: Inventory, phase: Hooked, when: When, hosts: Sequence[Host], own: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that a hook gets in addition to its user's own; every name is always set."""
    given = {
        "ENVIRONMENT": inventory.name,
        "ORG": inventory.org,
        "APP": inventory.app,
        "ROOT": str(inventory.root),
        "PHASE": phase,
        "WHEN": when,
        "HOSTS": " ".join(host.name for host in hosts),
        **dict.fromkeys(("HOST", "RELEASE", "VERSION", "COMMIT", "PREVIOUS", "PROBLEM"), ""),
        **own,
    }
    return {f"WARPBEAM_{name}": value for name, value in given.items()}


def agreed(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the variables that have the same value on all hosts."""
    first, *rest = each or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}


def program_text(inventory: Inventory, hook: Hook) -> str:
    """Return the program to be sent. Raises: Misuse, where a script cannot be sent."""
    if hook.script is None:
        return f"#!/bin/sh\n{hook.run}\n"
    if hook.on == "here":
        return ""
    where = f"{inventory.file}: hooks: {hook.script}"
    try:
        with hook.script.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        raise Misuse(f"{where} cannot be read: {error.strerror}") from None
    if len(raw) > LONGEST or b"\0" in raw or not raw.startswith(b"#!"):
        raise Misuse(f"{where}: expected a script of at most 1 MiB that begins with #!", "name its interpreter there")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Misuse(f"{where}: expected UTF-8") from None


def title_of(hook: Hook) -> str:
    """Return the hook's name in messages: its script's file name, or its command, shortened."""
    text = hook.script.name if hook.script is not None else " ".join((hook.run or "").split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
