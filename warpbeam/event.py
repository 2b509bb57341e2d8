"""What operations tell while they work. `report` shows it to a person or to a program."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    """Something that happened; `host` is an inventory name, or empty for this machine."""

    host: str


class Step(Event, frozen=True):
    """A host began a named step of a phase."""

    name: str


class Progress(Event, frozen=True):
    """How far a transfer has come, in bytes."""

    name: str
    done: int
    total: int


class Line(Event, frozen=True):
    """A line of another program's output (a compiler, a journal), meant to be read as it is."""

    text: str


class Note(Event, frozen=True):
    """A sentence for the person: what was decided or found."""

    text: str


class Warn(Event, frozen=True):
    """A sentence for the person about something that they will want to mend."""

    text: str


# Suffix of each warning that counts open connections.
SOCKETS = "an open WebSocket counts as one: docs/zero-downtime.md says how to close it"


class Settled(Event, frozen=True):
    """A host has finished a task; `text` says in what state it is, `good` whether that is what was asked."""

    text: str
    good: bool = True


Emit = Callable[[Event], None]
