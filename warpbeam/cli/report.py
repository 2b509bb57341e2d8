"""The report of a command: events on standard error, data on standard output.

A terminal shows a table of hosts, redrawn in place, with the current step of each; elsewhere (CI, a pipe) each step is
one plain line. rich is imported only when it has something to show.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any, TextIO

from warpbeam.cli.output import Output
from warpbeam.cli.screen import folded, print_lines, room_on, size, unpadded
from warpbeam.cli.table import table_lines
from warpbeam.cli.transfers import Transfers
from warpbeam.event import Event, Line, Note, Progress, Settled, Step, Warn
from warpbeam.visible import visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table

# Seconds that a question to the hosts may take before the terminal shows which of them have not answered.
PATIENCE = 1.0


class Report:
    """The receiver of events. `close` removes the live display from the screen; printed lines stay.

    Parameters:
        addressed: puts the environment's name into a message.
        waits_for: returns the busy hosts and their work; it is called at any time, so it takes no lock.
    """

    def __init__(
        self, addressed: Callable[[str], str] = str, waits_for: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._addressed = addressed
        self._waits_for = waits_for
        # None for a log, which takes lines unchanged: rich would take a millisecond for each.
        self.console = _console(sys.stderr) if _is_watched(sys.stderr) else None
        self._log: TextIO = sys.stderr
        self._live: Live | None = None
        self._spinner: Spinner | None = None
        # The time at which a question to the hosts began; 0: no question is open.
        self._asking = 0.0
        self._now: dict[str, str] = {}
        self._began: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._transfers = Transfers()
        self._guard = RLock()
        self._outputs: list[Output] = []

    def emit(self, event: Event) -> None:
        """Show one event, from any thread; a terminal that is gone does not disturb the work."""
        self._safely(lambda: self._show(event))

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Show on a terminal, inside this context, the hosts that have not answered a question within `PATIENCE`."""
        if self._terminal is None:
            yield
            return

        def show() -> None:
            if self._asking:
                self._refresh()

        timer = Timer(PATIENCE, self._safely, [show])
        timer.daemon = True
        self._asking = time.monotonic()
        timer.start()
        try:
            yield
        finally:
            self._asking = 0.0
            timer.cancel()
            self.close()

    def _safely(self, show: Callable[[], None]) -> None:
        outer = sys.exception()
        with self._guard:
            try:
                show()
            except OSError as error:
                # The terminal was closed (EIO), or the pipe's reader is gone: the work goes on to its orderly end.
                self._live = None
                self.console = None
                self._log = io.StringIO()
                if (interrupt := _interrupt_behind(error, outer)) is not None:
                    raise interrupt from None

    def _show(self, event: Event) -> None:
        match event:
            case Step(host=host, name=name):
                self._doing(host, name)
            case Progress():
                self._progress(event)
            case Line(host=host, text=text):
                self._say(host, f"│ {text}", "dim", whole=True)
            case Note(host=host, text=text):
                self._say(host, text, "")
            case Warn(host=host, text=text):
                self._say(host, f"warning: {text}", "yellow")
            case Settled(host=host, text=text, good=good):
                self._now.pop(host, None)
                self._refresh()
                self._say(host, text, "green" if good else "red")

    @property
    def _terminal(self) -> Console | None:
        """The console, where it is a terminal."""
        return self.console if self.console is not None and self.console.is_terminal else None

    def _doing(self, host: str, name: str) -> None:
        if host:
            # A host's step means that a step on this machine, a hook or a build, has ended.
            self._now.pop("", None)
        self._began[host] = time.monotonic()
        if self._terminal is None:
            self._say(host, name, "")
            return
        self._now[host] = name
        self._refresh()

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        if self._transfers.is_shown(event, now):
            self._began[event.host] = now
        elif self._last.get(event.host, 0) + 0.1 > now and event.done < event.total:
            return
        self._last[event.host] = now
        if self._terminal is None:
            if event.done == event.total:
                self._say(event.host, f"{event.name} {size(event.total)}", "")
            return
        self._now[event.host] = self._transfers.of(event.host, now)
        self._refresh()

    def _say(self, host: str, text: str, style: str, *, whole: bool = False) -> None:
        """Print a line: a sentence, or with `whole` a line of a journal, unfolded, so that people can copy it."""
        text = visible(self._addressed(text), keep="\t" if whole else "")
        # Messages of errors name their host themselves, as `web1: …` or `web1 (192.0.2.1) …`: do not repeat it.
        text = text.replace(f"{host}: ", "", 1) if re.match(rf"(warning: )?{re.escape(host)}: ", text) else text
        named = not host or re.match(rf"(warning: )?{re.escape(host)} \(", text)
        prefix = "" if named else f"{host}: "
        if self.console is None:
            print_lines(self._log, prefix + text)
            return
        from rich.text import Text

        if not self.console.is_terminal:
            line = Text(prefix + text, style=style)
        elif whole:
            line = Text(unpadded(prefix + text, self.console.width), style=style)
        else:
            line = Text(folded(prefix + text, self.console.width), style=style)
        line.stylize("bold not dim", 0, len(prefix))
        self.console.print(line, soft_wrap=True)

    def _refresh(self) -> None:
        terminal = self._terminal
        if terminal is None:
            return
        if self._live is None:
            # Imported only here: the import takes longer than all other work for a deploy's log.
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("line")
            self._live = Live(console=terminal, get_renderable=self._table, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.refresh()

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        # A copy, not the guard: rich calls this with its own lock held, for which `emit` waits while it has the guard.
        shown = self._now.copy()
        silent = {host: what or "connect" for host, what in self._waits_for().items() if host not in shown}
        for host, what in (shown | silent).items():
            seconds = time.monotonic() - self._began.setdefault(host, self._asking or time.monotonic())
            table.add_row(self._spinner, host or "here", visible(what), f"{seconds:.0f} s" if seconds > 1 else "")
        if together := self._transfers.together(time.monotonic()):
            table.add_row("", "all", visible(together), "")
        return table

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

    def output(self, *, prefixed: bool, error: bool = False, width: int = 0, exact: bool = True) -> Output:
        """Return a sink for the output of commands on hosts; `Output` explains the parameters."""
        self.close()
        output = Output(prefixed=prefixed, error=error, width=width, exact=exact)
        self._outputs.append(output)
        return output

    def flush(self) -> None:
        """Print the last line of every output that has no end."""
        for output in self._outputs:
            output.flush()

    def close(self) -> None:
        """Remove the live display from the screen."""
        self.flush()
        with self._guard:
            live, self._live = self._live, None
            self._now.clear()
        if live is not None:
            with contextlib.suppress(OSError):
                live.stop()


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
