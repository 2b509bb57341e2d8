"""How an instance is asked whether it is healthy: the fields that every phase which asks it has."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from warpbeam.helper.program import helper
from warpbeam.host.phase import Phase
from warpbeam.inventory.schema import Inventory

A = TypeVar("A")

# What a script that asks an instance for its health is sent with.
HEALTH_PARTS = ("host/health", "host/listeners", "host/reach")


class HealthPhase(Phase[A], frozen=True, kw_only=True):
    """A phase with the parameters of `warpbeam/host/health.sh`."""

    root: str
    app: str
    app_user: str
    helper: str
    ports: tuple[int, ...]
    health_path: str
    health_status: int
    health_rpc: str
    health_pauses: tuple[float, ...]
    health_timeout: float
    health_deadline: int
    health_settle: int


def health_parameters(inventory: Inventory) -> dict[str, Any]:
    """The values of `Probing`'s fields."""
    health = inventory.health
    return {
        "root": str(inventory.root),
        "app": inventory.app,
        "app_user": inventory.app_user,
        "helper": helper(inventory),
        "ports": inventory.slot_ports(),
        "health_path": health.path,
        "health_status": health.status,
        "health_rpc": health.rpc or "",
        # An app that is up at once is not waited for.
        "health_pauses": (min(0.05, health.interval), min(0.1, health.interval), health.interval),
        "health_timeout": health.timeout,
        "health_deadline": math.ceil(health.deadline),
        # In hundredths: bash has no fractions.
        "health_settle": math.ceil(health.settle * 100),
    }
