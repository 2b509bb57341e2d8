"""Removal of what builds keep on a build host: sources, compiled files, dependencies, for every toolchain."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.build.build import build_host
from warpbeam.event import Emit, Settled
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Count
from warpbeam.host.phase import Phase
from warpbeam.size import size


class Cleaned(msgspec.Struct, frozen=True):
    """The answer of clean.sh."""

    bytes: Count


class Clean(Phase[Cleaned], frozen=True, kw_only=True):
    """Remove what builds of the app keep on the build host."""

    script: ClassVar[str] = "build/clean"
    answer: ClassVar[type] = Cleaned
    root: str


def clean(fleet: Fleet, emit: Emit) -> None:
    """Remove what builds of the app keep on the build host; artifacts of this machine's store stay.

    Raises:
        Misuse: no host has the role build.
        Refused: another build runs there, or the host is not set up.
    """
    host = build_host(fleet.inventory)
    cleaned = fleet.run(host, Clean(root=fleet.inventory.building), emit)
    emit(Settled(host.name, f"removed {size(cleaned.bytes)} of earlier builds"))
