"""Check that the app on a host belongs to this environment, before what is no phase: an expression, a console."""

from __future__ import annotations

from typing import ClassVar

from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.host.phase import Done
from warpbeam.inventory.schema import Host


class CheckOwner(AppPhase[Done], frozen=True, kw_only=True):
    """Refuse another environment; the head of `warpbeam/provision/check_owner.sh` explains its fields."""

    script: ClassVar[str] = "provision/check_owner"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "provision/owner")
    answer: ClassVar[type] = Done
    helper: str
    environment: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def check_owner(fleet: Fleet, host: Host) -> None:
    """Check that the app on `host` belongs to the fleet's environment.

    Raises: Refused, where it belongs to another, is not set up or cannot be reached.
    """
    inventory = fleet.inventory
    phase = CheckOwner(**app_parameters(inventory), helper=helper(inventory), environment=inventory.name)
    fleet.run(host, phase, silent)
