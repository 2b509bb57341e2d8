"""The selection of hosts: those of a rollout, or one by its name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from warpbeam.error import Misuse, Problem, Unreachable, untouched
from warpbeam.inventory.schema import Host, Inventory


class HostSelection(msgspec.Struct, frozen=True):
    """The app hosts of a rollout: all of the inventory (narrowed by -H), except skipped ones.

    `skip_unreachable` leaves out hosts that do not answer, instead of refusing; `wait` is the seconds to wait for
    somebody else's deploy lock.
    """

    skip: frozenset[str] = frozenset()
    skip_unreachable: bool = False
    wait: float = 0

    def hosts(self, inventory: Inventory) -> list[Host]:
        """Return the hosts, in the inventory's order. Raises: Misuse, where a name is unknown or no host is left."""
        known = inventory.some_app_hosts()
        names = {host.name for host in known}
        if unknown := sorted(self.skip - names):
            raise Misuse(f"--skip: there is no app host {', '.join(unknown)}", f"there is: {', '.join(sorted(names))}")
        left = [host for host in known if host.name not in self.skip]
        if not left:
            raise Misuse("--skip: every host is skipped", "leave one")
        return left

    def check(self, found: Mapping[str, object]) -> None:
        """Check `found`, each host's answer or problem. Raises: Refused, where a problem stops the whole rollout.

        A rollout needs one host: where all are unreachable, `skip_unreachable` leaves none of them out.
        """
        problems = {name: result for name, result in found.items() if isinstance(result, Problem)}
        stopping = {name: problem for name, problem in problems.items() if not isinstance(problem, Unreachable)}
        if self.skip_unreachable and (stopping or len(problems) < len(found)):
            problems = stopping
        if problems:
            raise untouched(problems)


def one_host(inventory: Inventory, name: str) -> Host:
    """Return the app host of that name, or the first for an empty one. Raises: Misuse, where no app host has it."""
    hosts = inventory.some_app_hosts()
    for host in hosts:
        if not name or host.name == name:
            return host
    raise Misuse(f"--host {name}: there is no such app host", f"there is: {', '.join(host.name for host in hosts)}")
