"""A fleet whose hosts answer phases from a table, so that what a command asks of each host can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any

from warpbeam.event import Emit
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.shells import Identity
from warpbeam.host.phase import Phase, script_name
from warpbeam.inventory.schema import Deploy, Host, Inventory

# Returns the answer of a host to a phase, or raises its problem.
Answer = Callable[[str, Phase[Any]], Any]


class TableFleet(Fleet):
    """A fleet of app hosts that sends nothing; `asked` has the host and script of each phase, in order."""

    def __init__(self, names: Iterable[str], answer: Answer) -> None:
        hosts = {name: Host(name=name, roles=("app",)) for name in names}
        super().__init__(
            Inventory(
                name="e",
                file=Path("e.yml"),
                org="acme",
                app="hello",
                hosts=hosts,
                all_hosts=hosts,
                deploy=Deploy(batch="100%"),
            )
        )
        self.asked: list[tuple[str, str]] = []
        self._answer = answer
        self._recording = Lock()

    def run(
        self,
        host: Host,
        phase: Phase[Any],
        emit: Emit,
        body: Iterable[bytes] = (),
        identity: Identity = "deploy",
    ) -> Any:
        script = script_name(phase)
        with self._recording:
            self.asked.append((host.name, script))
        with self.activity.phase(host, script):
            return self._answer(host.name, phase)

    def hosts_asked(self, script: str) -> list[str]:
        """Return the hosts that were asked to run a script, once for each time, in the order of their names."""
        return sorted(name for name, asked in self.asked if asked == script)
