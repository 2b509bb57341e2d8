"""Strategies: the manners in which one instance takes over from another, and the capabilities that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Strategy(msgspec.Struct, frozen=True):
    """A strategy of the inventory, by `name`; its steps are in the script beside this file.

    `second_instance`: the new instance runs beside the old one, so a host needs memory for both. `free_slot`: the new
    instance starts in the idle slot, which the job empties.
    """

    name: str
    second_instance: bool
    free_slot: bool


RESTART = Strategy("restart", second_instance=False, free_slot=True)
BLUE_GREEN = Strategy("blue-green", second_instance=True, free_slot=True)
STRATEGIES: Mapping[str, Strategy] = MappingProxyType({each.name: each for each in (RESTART, BLUE_GREEN)})
