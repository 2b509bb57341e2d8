"""Errors, as values of one family: a message, a hint, an exit code.

An error's message says what happened and where; its hint says what to do next. `warpbeam.cli.executor` prints
both on standard error, as the last lines on the screen, and exits with the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

DONE, FAULT, MISUSE, REFUSED, FAILED, AMISS, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

# The one table of exit codes: docs/exit-codes.md shows it, and a test compares them.
EXIT_CODES = {
    DONE: "done",
    FAULT: "a fault in Warpbeam, or `fab` itself did not understand its options",
    MISUSE: "the inventory, a word, an option or an argument is wrong; nothing ran",
    REFUSED: "refused, nothing was changed: a lock, a host out of reach, no room, an unknown host key",
    FAILED: "failed; hosts may have changed, and the message says what state each is in",
    AMISS: (
        "looked, and not all is well: `status` found an app down or unhealthy, `setup --check` something to change, "
        "`doctor` something to mend, `secrets.list` hosts that differ"
    ),
    INTERRUPTED: "interrupted (Ctrl-C, TERM, HUP)",
}


def addressed(text: str, environment: str) -> str:
    """Return `text` with the environment's name in its commands, in place of the ENV of `fab ENV`.

    The writer of a message, such as a host's script, need not know the environment.
    """
    return text.replace("fab ENV ", f"fab {environment} ") if environment else text


class Problem(Exception):
    """A problem that a user can understand and mend.

    Parameters:
        message: what happened, where, and what was expected; one sentence, no full stop needed.
        hint: what to do next, or an empty string.
        details: lines shown before the message (an app's last log lines, a compiler's output).
    """

    code = FAULT

    def __init__(self, message: str, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def hinted(self, hint: str) -> Self:
        """Return the same problem with `hint` before its own hint."""
        return type(self)(self.message, "; ".join(filter(None, (hint, self.hint))), self.details)


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


class Failed(Problem):
    """The work failed; hosts may have changed, and the message says what state each is in."""

    code = FAILED


class Damaged(Failed):
    """Files on a host's disk are not as they were written; the work that depends on them was not done."""


class Lost(Failed):
    """A host stopped answering in the middle of a phase: its outcome is unknown and must be read back."""


def host_of(problem: Problem, names: Iterable[str]) -> str:
    """Return which of the hosts `names` has `problem`; empty where it is another's, such as a jump host's."""
    return next((name for name in names if problem.message.startswith((f"{name} ", f"{name}: "))), "")


# Suffix of a refusal when no host was changed.
UNTOUCHED = "; nothing was changed on any host"


def untouched(problems: Mapping[str, Problem]) -> Refused:
    """Return one refusal for `problems` by host, when no host was changed; it has the first problem in full."""
    (host, first), *others = problems.items()
    more = f" (and {len(others)} more: {', '.join(name for name, _ in others)})" if others else ""
    reason = first.message.removeprefix(f"{host}: ")
    # A message that several hosts share appears once.
    different = [it.message for name, it in others if it.message.removeprefix(f"{name}: ") != reason]
    kind = type(first) if isinstance(first, Refused) else Refused
    return kind(f"{first.message}{more}{UNTOUCHED}", first.hint, (*different, *first.details))
