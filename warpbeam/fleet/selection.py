"""The selection of hosts: those of a rollout, or those that `--host` chooses."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from warpbeam.error import Misuse, Problem, Unreachable, untouched
from warpbeam.inventory.choice import choose
from warpbeam.inventory.schema import Host, Inventory


class HostSelection(msgspec.Struct, frozen=True):
    """The app hosts of a rollout: all of the inventory (narrowed by -H), except skipped ones.

    `skip` is a choice of hosts (warpbeam/inventory/choice.py). `skip_unreachable` leaves out hosts that do not answer,
    instead of refusing; `wait` is the seconds to wait for somebody else's deploy lock.
    """

    skip: str | None = None
    skip_unreachable: bool = False
    wait: float = 0

    def hosts(self, inventory: Inventory) -> list[Host]:
        """Return the hosts, in the inventory's order. Raises: Misuse, where a name is unknown or no host is left."""
        known = inventory.some_app_hosts()
        skipped = () if self.skip is None else _choose(inventory, known, self.skip, "--skip")
        left = [host for host in known if host.name not in skipped]
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


def chosen_hosts(inventory: Inventory, chosen: str | None) -> list[Host]:
    """Return the app hosts that `--host` chooses, or the first for None. Raises: Misuse, where it chooses none."""
    hosts = inventory.some_app_hosts()
    if chosen is None:
        return hosts[:1]
    names = _choose(inventory, hosts, chosen, "--host")
    return [host for host in hosts if host.name in names]


def one_host(inventory: Inventory, chosen: str | None) -> Host:
    """Return the one app host that `--host` chooses, or the first for None. Raises: Misuse, where it chooses others."""
    first, *more = chosen_hosts(inventory, chosen)
    if more:
        found = ", ".join(host.name for host in (first, *more))
        raise Misuse(f"--host: expected one host, found {found}", "name one of them")
    return first


def _choose(inventory: Inventory, hosts: list[Host], chosen: str, option: str) -> tuple[str, ...]:
    return choose(chosen, {host.name: host.group for host in hosts}, option, "app host", inventory.groups)
