"""Health checks of an instance: the fields that every phase with a health check has."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from warpbeam.helper.program import helper
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Inventory

A = TypeVar("A")

# The shared parts of a script that checks an instance's health.
HEALTH_PARTS = ("host/http", "host/health", "host/listeners", "host/reach")


class HealthPhase(AppPhase[A], frozen=True, kw_only=True):
    """A phase with the parameters of `warpbeam/host/health.sh`."""

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
    """Return the values of the fields of `HealthPhase`."""
    health = inventory.health
    return {
        **app_parameters(inventory),
        "app_user": inventory.app_user,
        "helper": helper(inventory),
        "ports": inventory.slot_ports(),
        "health_path": health.path,
        "health_status": health.status,
        "health_rpc": health.rpc or "",
        # The first pauses are short: an app that starts at once is not waited for.
        "health_pauses": (min(0.05, health.interval), min(0.1, health.interval), health.interval),
        "health_timeout": health.timeout,
        "health_deadline": math.ceil(health.deadline),
        # Hundredths of a second: bash has no fractions.
        "health_settle": math.ceil(health.settle * 100),
    }
