"""Removal of what builds keep on a build host: sources, compiled files, dependencies, for every toolchain."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from warpbeam.build.build import build_hosts
from warpbeam.event import Emit, Settled
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.work import raise_gravest
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
    """Remove what builds of the app keep on the build hosts; artifacts of this machine's store stay.

    Raises:
        Misuse: no host has the role build.
        Refused: another build runs there, or the host is not set up.
    """
    phase = Clean(root=fleet.inventory.building)
    results = fleet.everywhere(build_hosts(fleet.inventory), lambda host: fleet.run(host, phase, emit))
    for name, cleaned in results.items():
        if isinstance(cleaned, Cleaned):
            emit(Settled(name, f"removed {size(cleaned.bytes)} of earlier builds"))
    raise_gravest(results)
