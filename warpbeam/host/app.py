"""The parameters that every script about an app has: where the app is on the host, and its name."""

from __future__ import annotations

from typing import Any, TypeVar

from warpbeam.host.phase import Phase
from warpbeam.inventory.schema import Inventory

A = TypeVar("A")


class AppPhase(Phase[A], frozen=True, kw_only=True):
    """A phase about the app of an environment: `root` is the app's directory on the host, `app` its name."""

    root: str
    app: str


def app_parameters(inventory: Inventory) -> dict[str, Any]:
    """Return the values of the fields of `AppPhase`."""
    return {"root": str(inventory.root), "app": inventory.app}
