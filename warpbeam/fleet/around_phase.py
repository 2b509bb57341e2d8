"""Hooks: the user's own commands around a phase, on the hosts (as the deploy user) or here.

docs/hooks.md explains what their failure means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from warpbeam.error import Failed, Problem
from warpbeam.event import Emit, Step, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.run_hook import Ran, When, agreed, hook_phase, hook_variables, title_of
from warpbeam.fleet.work import after_all, raise_gravest
from warpbeam.host.run import run
from warpbeam.inventory.hooks import Hook, Hooked
from warpbeam.inventory.schema import Host
from warpbeam.visible import visible


class Occasion(msgspec.Struct, frozen=True):
    """The phase that hooks belong to, whether it is over, its hosts, and what it does on each (`about`, by name)."""

    phase: Hooked
    when: When
    hosts: tuple[Host, ...]
    about: Mapping[str, Mapping[str, str]]

    def at(self, when: When) -> Occasion:
        """Return the same occasion at another time."""
        return msgspec.structs.replace(self, when=when)

    @property
    def one_host(self) -> str:
        """The name of the only host; empty where there are several."""
        return self.hosts[0].name if len(self.hosts) == 1 else ""

    def step(self, hook: Hook) -> str:
        """Return the name of the step that is shown while a hook runs."""
        return f"hook {self.when} {self.phase}: {title_of(hook)}"

    def failure(self, hook: Hook, problem: Problem) -> Failed:
        """Return the problem of a hook with what it means for the phase."""
        ending = {
            "before": f"{self.phase} was not begun",
            "after": f"{self.phase} itself was done, and stays so",
            "failed": f"{self.phase} had failed before",
        }[self.when]
        where = f"{self.one_host}: " if self.one_host and hook.on == "here" else ""
        return Failed(
            f"{where}{problem.message} (a hook {self.when} {self.phase}); {ending}",
            problem.hint or "mend what it says, or see `hooks` in the inventory",
            problem.details,
        )


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
    occasion = Occasion(phase, "before", tuple(hosts), about or {})
    try:
        _run_each(fleet, hooks.before, occasion, known, emit)
        yield known
        _run_each(fleet, hooks.after, occasion.at("after"), known, emit)
    except (Problem, KeyboardInterrupt) as problem:
        # The message may quote a host: `visible` keeps it one line wherever the hook sends it.
        known["PROBLEM"] = visible(problem.message) if isinstance(problem, Problem) else "interrupted"
        try:
            with after_all():
                _run_each(fleet, hooks.failed, occasion.at("failed"), known, emit)
        except Problem as second:
            emit(Warn("", second.message))
        raise


def _run_each(fleet: Fleet, hooks: Sequence[Hook], occasion: Occasion, known: Mapping[str, str], emit: Emit) -> None:
    """Run `hooks` one after the other. Raises: Failed, where one failed; those after it do not run."""
    for hook in hooks:
        try:
            if hook.on == "here":
                _run_here(fleet, hook, occasion, known, emit)
            else:
                _run_on_hosts(fleet, hook, occasion, known, emit)
        except Problem as problem:
            raise occasion.failure(hook, problem) from None


def _run_here(fleet: Fleet, hook: Hook, occasion: Occasion, known: Mapping[str, str], emit: Emit) -> None:
    host = occasion.one_host
    emit(Step(host, occasion.step(hook)))
    own = {**agreed([occasion.about.get(each.name, {}) for each in occasion.hosts]), **known, "HOST": host}
    variables = hook_variables(fleet.inventory, occasion.phase, occasion.when, occasion.hosts, own)
    # Events of this machine are attributed to the host, where the phase has only one.
    run(
        fleet.here,
        hook_phase(fleet.inventory, hook, variables),
        lambda event: emit(msgspec.structs.replace(event, host=host)),
    )


def _run_on_hosts(fleet: Fleet, hook: Hook, occasion: Occasion, known: Mapping[str, str], emit: Emit) -> None:
    """Run a hook on all hosts at once."""

    def one(host: Host) -> Ran:
        emit(Step(host.name, occasion.step(hook)))
        own = {**occasion.about.get(host.name, {}), **known, "HOST": host.name}
        variables = hook_variables(fleet.inventory, occasion.phase, occasion.when, occasion.hosts, own)
        return fleet.run(host, hook_phase(fleet.inventory, hook, variables), emit)

    raise_gravest(fleet.everywhere(occasion.hosts, one))
