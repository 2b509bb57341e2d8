"""The report of a command: events on standard error, data on standard output.

A terminal shows a table of hosts, redrawn in place, with the current step of each; elsewhere (CI, a pipe) each step is
one plain line. rich is imported only when it has something to show.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any, TextIO

from warpbeam.cli.event_line import EventLine, line_of
from warpbeam.cli.live_table import LiveTable, stop
from warpbeam.cli.output import Output
from warpbeam.cli.screen import folded, print_lines, room_on, unpadded
from warpbeam.cli.table import table_lines
from warpbeam.event import Ask, Event, Progress, Settled, Step
from warpbeam.visible import visible_json

if TYPE_CHECKING:
    from rich.console import Console

# Seconds that a question to the hosts may take before the terminal shows which of them have not answered.
PATIENCE = 1.0


class Report:
    """The receiver of events. `close` removes the live table from the screen; printed lines stay.

    Parameters:
        addressed: puts the environment's name into a message.
        waits_for: returns the busy hosts and their work; it is called at any time, so it takes no lock.
    """

    def __init__(
        self, addressed: Callable[[str], str] = str, waits_for: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._addressed = addressed
        # None for a log, which takes lines unchanged: rich would take a millisecond for each.
        self.console = _console(sys.stderr) if _is_watched(sys.stderr) else None
        self._log: TextIO = sys.stderr
        self._live = LiveTable(waits_for)
        self._guard = RLock()
        self._outputs: list[Output] = []

    def emit(self, event: Event) -> None:
        """Show one event, from any thread; a terminal that is gone does not disturb the work."""
        if isinstance(event, Ask):
            self.close()
            return
        self._safely(lambda: self._show(event))

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Show on a terminal, inside this context, the hosts that have not answered a question within `PATIENCE`."""
        if self._terminal is None:
            yield
            return
        timer = Timer(PATIENCE, self._safely, [self._show_question])
        timer.daemon = True
        self._live.asking = time.monotonic()
        timer.start()
        try:
            yield
        finally:
            self._live.asking = 0.0
            timer.cancel()
            self.close()

    def _safely(self, show: Callable[[], None]) -> None:
        outer = sys.exception()
        with self._guard:
            try:
                show()
            except OSError as error:
                # The terminal was closed (EIO), or the pipe's reader is gone: the work goes on to its orderly end.
                self._live.forget()
                self.console = None
                self._log = io.StringIO()
                if (interrupt := _interrupt_behind(error, outer)) is not None:
                    raise interrupt from None

    @property
    def _terminal(self) -> Console | None:
        """The console, where it is a terminal."""
        return self.console if self.console is not None and self.console.is_terminal else None

    def _show(self, event: Event) -> None:
        if self._terminal is not None and self._draw(event, self._terminal):
            return
        line = line_of(event, self._addressed)
        if line is not None:
            self._print(line)

    def _draw(self, event: Event, terminal: Console) -> bool:
        """Show an event in the live table, as far as it belongs there; return whether it needs no line."""
        match event:
            case Step(host=host, name=name):
                self._live.step(host, name)
                self._live.draw(terminal)
                return True
            case Progress():
                if self._live.progress(event):
                    self._live.draw(terminal)
                return True
            case Settled(host=host):
                self._live.settled(host)
                self._live.draw(terminal)
        return False

    def _show_question(self) -> None:
        if self._live.asking and self._terminal is not None:
            self._live.draw(self._terminal)

    def _print(self, line: EventLine) -> None:
        if self.console is None:
            print_lines(self._log, line.prefix + line.text)
            return
        from rich.text import Text

        text = line.prefix + line.text
        if self.console.is_terminal:
            room = self.console.width
            indent = "│   " if text.startswith("│ ") else "  "
            text = unpadded(text, room) if line.whole else folded(text, room, indent)
        shown = Text(text, style=line.style)
        shown.stylize("bold not dim", 0, len(line.prefix))
        self.console.print(shown, soft_wrap=True)

    def table(self, rows: Sequence[dict[str, Any]], *, as_json: bool = False) -> None:
        """Print rows on standard output: as a table for people, or as one JSON array."""
        self.close()
        if as_json:
            import msgspec

            text = msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode()
            print_lines(sys.stdout, *visible_json(text).split("\n"))
            return
        room = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 10_000
        print_lines(sys.stdout, *table_lines(rows, room, self._addressed))

    def plan(self, rows: Sequence[dict[str, Any]], *, as_json: bool = False) -> None:
        """Print a deploy's plan: for each host the change of release, then the lines of `preview_lines`."""
        from warpbeam.deploy.preview import preview_lines

        if as_json:
            self.table(rows, as_json=True)
            return
        self.table(
            [{"host": row["host"], "from": row["from"], "to": row["to"], "change": row["change"]} for row in rows]
        )
        room = room_on(sys.stdout)
        for line in preview_lines(rows):
            print_lines(sys.stdout, *folded(line, room, "      ").split("\n"))

    def output(
        self, *, prefixed: bool, error: bool = False, labels: Mapping[str, str] | None = None, exact: bool = True
    ) -> Output:
        """Return a sink for the output of commands on hosts; `Output` explains the parameters."""
        self.close()
        output = Output(prefixed=prefixed, error=error, labels=labels or {}, exact=exact)
        self._outputs.append(output)
        return output

    def flush(self) -> None:
        """Print the last line of every output that has no end."""
        for output in self._outputs:
            output.flush()

    def close(self) -> None:
        """Remove the live table from the screen."""
        self.flush()
        with self._guard:
            live = self._live.forget()
        stop(live)


def _interrupt_behind(error: BaseException, outer: BaseException | None) -> BaseException | None:
    """Return the interrupt behind `error` that is not behind `outer`, which was raised before; None if there is none.

    A terminal that closes also sends HUP, and rich fails once more while it handles that interrupt.
    """
    behind: BaseException | None = error
    while behind is not None and behind is not outer:
        if isinstance(behind, KeyboardInterrupt):
            return behind
        behind = behind.__context__
    return None


def _is_watched(stream: TextIO) -> bool:
    """Return whether the stream is a terminal, or shows colours by rich's variables (FORCE_COLOR, TTY_COMPATIBLE)."""
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR")) or os.environ.get("TTY_COMPATIBLE") == "1"


def _console(stream: Any) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False, markup=False, no_color=bool(os.environ.get("NO_COLOR")))
