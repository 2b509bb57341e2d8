"""Which releases a host has admitted, and whether their signers may still sign; for `doctor`."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from warpbeam.doctor.finding import Finding, finding
from warpbeam.error import Problem
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import FEW, MANY, ReleaseName, Text, Word
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host


class AdmittedCopy(msgspec.Struct, frozen=True):
    """An admitted release: the slots that start it, or `-`, and why its signature does not count now, or nothing."""

    release: ReleaseName
    slots: Word
    reason: Text


class AdmittedState(msgspec.Struct, frozen=True):
    """The answer of `ReadAdmitted`; `releases` are all that the deploy user has put there."""

    copies: Annotated[tuple[AdmittedCopy, ...], FEW]
    live: Word
    releases: Annotated[tuple[ReleaseName, ...], MANY]


class ReadAdmitted(AppPhase[AdmittedState], frozen=True, kw_only=True):
    """Read which releases are admitted; the head of `warpbeam/doctor/admitted.sh` explains its fields."""

    script: ClassVar[str] = "doctor/admitted"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout")
    answer: ClassVar[type] = AdmittedState
    helper: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def read_admitted(fleet: Fleet, host: Host) -> AdmittedState:
    """Return which releases `host` has admitted. Raises as `fleet.run`."""
    inventory = fleet.inventory
    return fleet.run(host, ReadAdmitted(**app_parameters(inventory), helper=helper(inventory)), silent)


def signers(host: str, env: str, found: AdmittedState | Problem) -> Finding:
    """Return the finding on admission: the live release must be admitted, by somebody who may still sign. Pure."""
    if isinstance(found, Problem):
        return Finding(host, "signers", False, found.reason, found.hint)
    copies = {copy.release: copy for copy in found.copies}
    wrong = []
    if found.live and found.live not in copies:
        wrong.append(f"the live release {found.live} is not admitted: it does not start again after a crash")
    elif found.live and copies[found.live].reason:
        wrong.append(f"the signer of the live release {found.live} may not sign any more: {copies[found.live].reason}")
    missing = [release for release in found.releases if release not in copies]
    others = f"; not admitted: {', '.join(missing)}" if missing else ""
    well = f"{len(copies)} releases are admitted{others}"
    return finding(host, "signers", wrong, well, f"deploy a signed release: `fab {env} deploy`, see docs/admission.md")
