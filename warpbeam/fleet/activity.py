"""The activity of a fleet: what each host is busy with now, and which phases were begun there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from warpbeam.inventory.schema import Host


class Activity:
    """A record that threads write while they work for hosts, each for its own, and that is read at any time.

    A display reads it while the work goes on, and an interrupted command reads it to report where work had begun.
    """

    def __init__(self) -> None:
        # The first entry is what `busy` reports; a lease renewal may run at the same time.
        self._doing: dict[str, list[str]] = {}
        # The phases that were begun, by host and script; true where the last one of that script has answered.
        self.phases: dict[tuple[str, str], bool] = {}

    @contextmanager
    def doing(self, host: Host, what: str) -> Iterator[None]:
        """Record, inside this context, that `host` is busy with `what`."""
        doing = self._doing.setdefault(host.name, [])
        doing.append(what)
        try:
            yield
        finally:
            doing.remove(what)

    @contextmanager
    def phase(self, host: Host, script: str) -> Iterator[None]:
        """Record that `script` was begun on `host`, and that it has answered where this context ends without error."""
        self.phases[host.name, script] = False
        with self.doing(host, script):
            yield
        self.phases[host.name, script] = True

    @property
    def busy(self) -> dict[str, str]:
        """The hosts that are busy now, each with the name of its first work; takes no lock."""
        return {name: what for name, whats in self._doing.copy().items() if (what := next(iter(whats), ""))}
