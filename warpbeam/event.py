"""Events that operations emit while they work. `warpbeam.cli.report` shows them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    """An event of an operation; `host` is an inventory name, or empty for this machine."""

    host: str


class Step(Event, frozen=True):
    """A host began a named step of a phase."""

    name: str


class Progress(Event, frozen=True):
    """The progress of a transfer, in bytes."""

    name: str
    done: int
    total: int


class Line(Event, frozen=True):
    """A line of another program's output (a compiler, a journal), meant to be read as it is.

    With `folds` it is a line of a file that is only shown: it may be folded between words.
    """

    text: str
    folds: bool = False


class Note(Event, frozen=True):
    """A sentence for the user: a decision or a finding."""

    text: str


class Warn(Event, frozen=True):
    """A sentence for the user about something to mend."""

    text: str


class Ask(Event, frozen=True):
    """The moment before a program may ask on the terminal: nothing is to be drawn over its question."""


# Suffix of each warning that counts open connections.
SOCKETS = "an open WebSocket counts as one: docs/zero-downtime.md says how to close it"


class Settled(Event, frozen=True):
    """The end of a task on a host; `text` describes the host's state, `good` is whether it is the intended one."""

    text: str
    good: bool = True


Emit = Callable[[Event], None]


def silent(event: object) -> None:
    """Drop an event: an `Emit` for work of which a user needs to see nothing."""
