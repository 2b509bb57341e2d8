"""Which hosts a rollout concerns, and their connections, opened while there is something else to do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping

import msgspec

from warpbeam.error import Misuse, Problem, Unreachable, untouched
from warpbeam.fleet.fleet import Fleet
from warpbeam.inventory.schema import Host, Inventory


class HostSelection(msgspec.Struct, frozen=True):
    """Which app hosts a rollout concerns: all that the inventory has (or -H left), but those that are skipped.

    `skip_unreachable` leaves out hosts that do not answer, instead of refusing; `wait` is how many seconds to wait for
    somebody else's lock.
    """

    skip: frozenset[str] = frozenset()
    skip_unreachable: bool = False
    wait: float = 0

    def hosts(self, inventory: Inventory) -> list[Host]:
        """The hosts, in the inventory's order. Raises: Misuse, where a name is unknown or none is left."""
        known = inventory.some_app_hosts()
        names = {host.name for host in known}
        if unknown := sorted(self.skip - names):
            raise Misuse(f"--skip: there is no app host {', '.join(unknown)}", f"there is: {', '.join(sorted(names))}")
        left = [host for host in known if host.name not in self.skip]
        if not left:
            raise Misuse("--skip: every host is skipped", "leave one")
        return left

    def check(self, found: Mapping[str, object]) -> None:
        """Raises: Refused, where a host of `found` (each with its answer or problem) has a problem that stops all."""
        problems = {name: result for name, result in found.items() if isinstance(result, Problem)}
        if self.skip_unreachable:
            problems = {name: problem for name, problem in problems.items() if not isinstance(problem, Unreachable)}
        if problems:
            raise untouched(problems)


@contextlib.contextmanager
def connecting(fleet: Fleet, selection: HostSelection) -> Iterator[None]:
    """Open the connections to the app hosts of `reach` beside what is done in the meantime; in the end all are open.

    Raises: Refused, where a host cannot be reached; rather than what went wrong in the meantime.
    """
    hosts = selection.hosts(fleet.inventory)
    found: dict[str, Problem | None] = {}
    opening = threading.Thread(
        target=lambda: found.update(fleet.everywhere(hosts, lambda host: fleet.shell(host).open())),
        name="reach",
        daemon=True,
    )
    opening.start()
    try:
        try:
            yield
        except Problem:
            _join(opening)
            selection.check(found)
            raise
        _join(opening)
    except KeyboardInterrupt:
        fleet.interrupt()
        raise
    selection.check(found)


def _join(thread: threading.Thread) -> None:
    """Wait for its end, a little at a time: so a signal is handled meanwhile."""
    while thread.is_alive():
        thread.join(0.5)
