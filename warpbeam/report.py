"""Shows events to a person, on standard error: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from warpbeam.event import Event, Line, Note, Progress, Settled, Step, Warn


class Report:
    """Where events go. `close` takes the live display off the screen."""

    def tell(self, event: Event) -> None:
        """Show one event; safe from any thread."""
        where = f"{event.host}: " if event.host else ""
        match event:
            case Step(name=text) | Line(text=text) | Note(text=text):
                print(f"{where}{text}", file=sys.stderr)
            case Warn(text=text):
                print(f"{where}warning: {text}", file=sys.stderr)
            case Settled(text=text):
                print(f"{where}{text}", file=sys.stderr)
            case Progress():
                pass

    def close(self) -> None:
        """End the display."""
