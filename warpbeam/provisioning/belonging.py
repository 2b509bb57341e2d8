"""Which environment a host belongs to: two that put the same app on one host would overwrite each other.

Setup writes the environment's name beside the root door. Whoever claims the host for a rollout compares it
(`scripts/claim.sh`), and so does the next setup.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.error import Problem, Refused
from warpbeam.event import Tell
from warpbeam.fleet import Fleet
from warpbeam.inventory import Host
from warpbeam.phase import Phase
from warpbeam.provisioning.footprint import environment_file


class Belonging(msgspec.Struct, frozen=True):
    """The name of the environment, or empty."""

    environment: str


class AskBelonging(Phase[Belonging], frozen=True):
    """Read which environment a host belongs to; fields as `scripts/belonging.sh` tells."""

    script: ClassVar[str] = "belonging"
    answer: ClassVar[type] = Belonging
    file: str


def check_belonging(fleet: Fleet, tell: Tell) -> None:
    """Ask every app host of the fleet whether it is ours to set up.

    Raises:
        Refused: a host belongs to another environment. What keeps a host from answering is raised too.
    """
    inventory = fleet.inventory
    phase = AskBelonging(environment_file(inventory))

    def ask(host: Host) -> Belonging:
        return fleet.run(host, phase, tell, identity="admin")

    for name, result in fleet.everywhere(list(inventory.app_hosts), ask).items():
        if isinstance(result, Problem):
            raise type(result)(f"{result.message}; nothing was changed on any host", result.hint, result.details)
        if result.environment not in ("", inventory.name):
            raise Refused(
                f"{name}: {inventory.app} on this host belongs to the environment {result.environment!r}, "
                f"not to {inventory.name!r}; nothing was changed on any host",
                f"two environments need hosts, or an `app`, of their own; to take it over: "
                f"`fab {inventory.name} -H {name} setup --take-over`",
            )
