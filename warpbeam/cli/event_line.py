"""The line of an event: its text, its host in front unless the text names it, and its colour on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from warpbeam.event import Event, Line, Note, Progress, Settled, Step, Warn
from warpbeam.size import size
from warpbeam.visible import visible


class EventLine(msgspec.Struct, frozen=True):
    """A line about a host: a sentence, or with `whole` a line of a journal, unfolded, so that people can copy it."""

    prefix: str
    text: str
    style: str = ""
    whole: bool = False


def line_of(event: Event, addressed: Callable[[str], str] = str) -> EventLine | None:
    """Return the line of an event; None for the progress of a transfer that goes on.

    Parameters:
        addressed: puts the environment's name into a message.
    """
    match event:
        case Step(host=host, name=name):
            return _line(host, addressed(name))
        case Progress(host=host, name=name, done=done, total=total):
            return _line(host, addressed(f"{name} {size(total)}")) if done == total else None
        case Line(host=host, text=text, folds=folds):
            return _line(host, addressed(f"│ {text}"), "dim", whole=not folds)
        case Note(host=host, text=text):
            return _line(host, addressed(text))
        case Warn(host=host, text=text):
            return _line(host, addressed(f"warning: {text}"), "yellow")
        case Settled(host=host, text=text, good=good):
            return _line(host, addressed(text), "green" if good else "red")
    return None


def _line(host: str, text: str, style: str = "", *, whole: bool = False) -> EventLine:
    text = visible(text, keep="\t" if whole else "")
    # Messages of errors name their host themselves, as `web1: …` or `web1 (192.0.2.1) …`: do not repeat it.
    text = text.replace(f"{host}: ", "", 1) if re.match(rf"(warning: )?{re.escape(host)}: ", text) else text
    named = not host or re.match(rf"(warning: )?{re.escape(host)} \(", text)
    return EventLine("" if named else f"{host}: ", text, style, whole)
