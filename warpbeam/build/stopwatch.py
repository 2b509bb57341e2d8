"""A stopwatch for the steps of a build."""

from __future__ import annotations

from time import monotonic

from warpbeam.event import Emit, Event, Step

MOST_STEPS = 20


class Stopwatch:
    """A stopwatch for the steps that are emitted through it."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._began: list[tuple[str, float]] = []

    def emit(self, event: Event) -> None:
        """Pass `event` on; a step ends the step before."""
        if isinstance(event, Step):
            self.begin(event.name)
        self._emit(event)

    def begin(self, name: str) -> None:
        """Begin a step that is not emitted as an event."""
        # A build host may send any number of steps.
        if len(self._began) < MOST_STEPS:
            self._began.append((name[:40], monotonic()))

    def __str__(self) -> str:
        ends = [*(began for _, began in self._began[1:]), monotonic()]
        parts = [f"{name} {end - began:.1f}" for (name, began), end in zip(self._began, ends, strict=True)]
        return ", ".join([f"{part} s" if part is parts[0] else part for part in parts])
