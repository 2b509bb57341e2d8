"""Errors, as values of one family: a message, a hint, an exit code.

An error's message says what happened and where; its hint says what to do next. `warpbeam.cli.executor` prints
both on standard error, as the last lines on the screen, and exits with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, TypeVar

DONE, FAULT, MISUSE, REFUSED, FAILED, AMISS, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

# The one table of exit codes: docs/exit-codes.md shows it, and a test compares them.
EXIT_CODES = {
    DONE: "done",
    FAULT: "a fault in Warpbeam, or `fab` itself did not understand its options",
    MISUSE: "the inventory, a word, an option or an argument is wrong; nothing ran",
    REFUSED: (
        "refused, nothing was changed: a lock, a host out of reach, no room, an unknown host key, a source of hosts "
        "that fails"
    ),
    FAILED: "failed; hosts may have changed, and the message says what state each is in",
    AMISS: (
        "looked, and not all is well: `status` found an app down or unhealthy, `setup --check` something to change, "
        "`doctor` something to mend, `secrets.list` hosts that differ, `artifacts.verify` artifacts that were changed "
        "or have no signature that counts"
    ),
    INTERRUPTED: "interrupted (Ctrl-C, TERM, HUP)",
}


def addressed(text: str, environment: str) -> str:
    """Return `text` with the environment's name in its commands, in place of the ENV of `fab ENV`.

    The writer of a message, such as a host's script, need not know the environment.
    """
    return text.replace("fab ENV ", f"fab {environment} ") if environment else text


# Suffix of a refusal when no host was changed.
UNTOUCHED = "; nothing was changed on any host"


class Problem(Exception):
    """A problem that a user can understand and mend.

    Parameters:
        reason: what happened and what was expected; one sentence without the host, no full stop needed.
        hint: what to do next, or an empty string.
        details: lines shown before the message (an app's last log lines, a compiler's output).
        host: the inventory name of the host that has the problem; empty where no single host has it.
        place: the host as the message names it, where that says more than its name (`web1 (10.0.0.1)`).
        ending: what the message adds about other hosts or about the state left behind.
        nothing_changed: no host was changed, and the message says so.
    """

    code = FAULT

    def __init__(
        self,
        reason: str,
        hint: str = "",
        details: tuple[str, ...] = (),
        *,
        host: str = "",
        place: str = "",
        ending: str = "",
        nothing_changed: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.details = details
        self.host = host
        self.place = place or host
        self.ending = ending
        self.nothing_changed = nothing_changed

    def __str__(self) -> str:
        return self.message

    @property
    def message(self) -> str:
        """The whole sentence: where, what, and what was left behind."""
        return self.sentence + (UNTOUCHED if self.nothing_changed else "")

    @property
    def sentence(self) -> str:
        """The message without what it says about hosts that were not changed: for a command that has changed some."""
        return f"{self.place}: {self.reason}{self.ending}" if self.place else f"{self.reason}{self.ending}"

    def hinted(self, hint: str) -> Self:
        """Return the same problem with `hint` before its own hint."""
        return restated(self, type(self), hint="; ".join(filter(None, (hint, self.hint))))


class Misuse(Problem):
    """A bad inventory, option or argument, found before anything ran."""

    code = MISUSE


class Refused(Problem):
    """A precondition does not hold; nothing was changed."""

    code = REFUSED


class Held(Refused):
    """Somebody else has the deploy lock of a host."""


class Unreachable(Refused):
    """A host does not answer: it is off, or the network to it is. (A host that answers wrongly raises Refused.)"""


class Unready(Refused):
    """A host does not know the deploy user or the app: `setup` has not run there, as far as it shows."""


class Failed(Problem):
    """The work failed; hosts may have changed, and the message says what state each is in."""

    code = FAILED


class Damaged(Failed):
    """Files on a host's disk are not as they were written; the work that depends on them was not done."""


class Lost(Failed):
    """A host stopped answering in the middle of a phase: its outcome is unknown and must be read back."""


P = TypeVar("P", bound=Problem)


def restated(
    problem: Problem,
    kind: type[P],
    ending: str = "",
    *,
    hint: str | None = None,
    details: tuple[str, ...] | None = None,
) -> P:
    """Return `problem` of its host as another `kind`, with `ending` after its message.

    Parameters:
        hint, details: replace the problem's own; None: the problem's own stay.
    """
    return kind(
        problem.reason,
        problem.hint if hint is None else hint,
        problem.details if details is None else details,
        host=problem.host,
        place=problem.place,
        ending=problem.ending + ending,
        nothing_changed=problem.nothing_changed,
    )


def untouched(problems: Mapping[str, Problem]) -> Refused:
    """Return one refusal for `problems` by host, when no host was changed; it has the first problem in full."""
    first, *others = problems.values()
    more = f" (and {len(others)} more: {', '.join([*problems][1:])})" if others else ""
    # A message that several hosts share appears once.
    different = [problem.message for problem in others if problem.reason != first.reason]
    kind = type(first) if isinstance(first, Refused) else Refused
    refused = restated(first, kind, more, details=(*different, *first.details))
    if new := [name for name, problem in problems.items() if isinstance(problem, Unready)]:
        setup = f"`fab ENV -H {','.join(new)} setup` sets up new hosts, and so does `deploy --setup-new`"
        refused.hint = "; ".join(filter(None, (setup, refused.hint)))
    refused.nothing_changed = True
    return refused
