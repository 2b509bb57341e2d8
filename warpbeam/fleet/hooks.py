"""Hooks: the user's own commands around a phase, on the hosts (as the deploy user) or here.

docs/hooks.md explains their environment and what their failure means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal

import msgspec

from warpbeam.environ import for_person
from warpbeam.error import Failed, Misuse, Problem
from warpbeam.event import Emit, Step, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import after_all, gravest_problem
from warpbeam.host.phase import Phase
from warpbeam.host.run import run
from warpbeam.inventory.hooks import Hook, Hooked
from warpbeam.inventory.schema import Host
from warpbeam.visible import visible

When = Literal["before", "after", "failed"]
# Bytes of a script that is sent to a host.
LONGEST = 1 << 20
SHOWN = 60


class Ran(msgspec.Struct, frozen=True):
    """An answer without information: the hook is done."""

    done: bool


class RunHook(Phase[Ran], frozen=True, kw_only=True):
    """Run a program of the user's own; the head of `warpbeam/fleet/hook.sh` explains its fields."""

    script: ClassVar[str] = "fleet/hook"
    answer: ClassVar[type] = Ran
    title: str
    program: str
    text: str
    directory: str
    variables: tuple[str, ...]
    seconds: int


@contextmanager
def around(
    fleet: Fleet,
    phase: Hooked,
    hosts: Sequence[Host],
    emit: Emit,
    about: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[dict[str, str]]:
    """Run the hooks of `phase` around the context's body; yield a dict that the body fills with variables for them.

    Parameters:
        hosts: the hosts of the phase, on which hooks `on: hosts` run.
        about: for each host name, what the phase does there: RELEASE, VERSION, COMMIT, PREVIOUS.

    Raises:
        Failed: a hook failed; the message says whether the phase itself was begun, or done.
    """
    hooks = fleet.inventory.hooks.get(phase)
    known: dict[str, str] = {}
    if hooks is None:
        yield known
        return
    try:
        _each(fleet, phase, "before", hooks.before, hosts, about or {}, known, emit)
        yield known
        _each(fleet, phase, "after", hooks.after, hosts, about or {}, known, emit)
    except (Problem, KeyboardInterrupt) as problem:
        # The message may quote a host: `visible` keeps it one line wherever the hook sends it.
        known["PROBLEM"] = visible(problem.message) if isinstance(problem, Problem) else "interrupted"
        try:
            with after_all():
                _each(fleet, phase, "failed", hooks.failed, hosts, about or {}, known, emit)
        except Problem as second:
            emit(Warn("", second.message))
        raise


def _each(
    fleet: Fleet,
    phase: Hooked,
    when: When,
    hooks: Sequence[Hook],
    hosts: Sequence[Host],
    about: Mapping[str, Mapping[str, str]],
    known: Mapping[str, str],
    emit: Emit,
) -> None:
    """Run `hooks` one after the other; a hook `on: hosts` runs on all of them at once."""
    for hook in hooks:
        title = _title(hook)
        one_host = hosts[0].name if len(hosts) == 1 else ""
        try:
            if hook.on == "here":
                emit(Step(one_host, f"hook {when} {phase}: {title}"))
                own = {**_agreed([about.get(host.name, {}) for host in hosts]), **known, "HOST": one_host}
                run(fleet.here, _phase(fleet, hook, variables(fleet, phase, when, hosts, own)), _at(one_host, emit))
                continue

            def on_host(host: Host, hook: Hook = hook, title: str = title) -> Ran:
                emit(Step(host.name, f"hook {when} {phase}: {title}"))
                own = {**about.get(host.name, {}), **known, "HOST": host.name}
                return fleet.run(host, _phase(fleet, hook, variables(fleet, phase, when, hosts, own)), emit)

            problem = gravest_problem(fleet.everywhere(hosts, on_host))
            if problem is not None:
                raise problem
        except Problem as problem:
            ending = {
                "before": f"{phase} was not begun",
                "after": f"{phase} itself was done, and stays so",
                "failed": f"{phase} had failed before",
            }[when]
            where = f"{one_host}: " if one_host and hook.on == "here" else ""
            raise Failed(
                f"{where}{problem.message} (a hook {when} {phase}); {ending}",
                problem.hint or "mend what it says, or see `hooks` in the inventory",
                problem.details,
            ) from None


def variables(fleet: Fleet, phase: Hooked, when: When, hosts: Sequence[Host], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a hook gets in addition to its user's own; every name is always set."""
    inventory = fleet.inventory
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


def _phase(fleet: Fleet, hook: Hook, given: Mapping[str, str]) -> RunHook:
    here = hook.on == "here"
    kept = for_person() if here else {}
    return RunHook(
        title=_title(hook),
        program=str(hook.script) if here and hook.script is not None else "",
        text=_text(fleet, hook),
        directory=str(fleet.inventory.file.parent if here else fleet.inventory.root),
        variables=tuple(f"{name}={value}" for name, value in {**kept, **given}.items()),
        seconds=math.ceil(hook.timeout),
    )


def _text(fleet: Fleet, hook: Hook) -> str:
    """Return the program to be sent. Raises: Misuse, where a script cannot be sent."""
    if hook.script is None:
        return f"#!/bin/sh\n{hook.run}\n"
    if hook.on == "here":
        return ""
    where = f"{fleet.inventory.file}: hooks: {hook.script}"
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


def _title(hook: Hook) -> str:
    """Return the hook's name in messages: its script's file name, or its command, shortened."""
    text = hook.script.name if hook.script is not None else " ".join((hook.run or "").split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _agreed(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the variables that have the same value on all hosts."""
    first, *rest = each or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}


def _at(host: str, emit: Emit) -> Emit:
    """Return an `emit` that attributes the events of this machine to `host`."""
    return lambda event: emit(msgspec.structs.replace(event, host=host))
