"""Which releases a host has admitted, and whether their signers may still sign; for `doctor`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec

from warpbeam.build.signature import Unsound, parse_signature
from warpbeam.doctor.examine import Examination
from warpbeam.doctor.finding import Finding
from warpbeam.error import Problem
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import helper
from warpbeam.host.answer import FEW, MANY, ReleaseName, Text, Word
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.signers import expiry_of
from warpbeam.provision.admission import signers_file
from warpbeam.provision.app_template import etc
from warpbeam.provision.host_state import HostState

# Seconds before the end of a signer's time from which on that is to be mended.
SOON = 30 * 24 * 3600


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


def signers(
    host: str,
    inventory: Inventory,
    admitted: AdmittedState | Problem,
    found: HostState | Problem,
    seen: Examination,
    allowed: str,
) -> Finding:
    """Return the finding on admission: the live release must be admitted, by somebody who may still sign. Pure.

    Parameters:
        allowed: the text of `deploy.allowed_signers`.
    """
    env = inventory.name
    if isinstance(found, HostState) and found.paths.get(signers_file(etc(inventory))) is None:
        switch = f"`fab {env} setup --restart` switches that on, once a signed release is live: see docs/admission.md"
        return Finding(host, "signers", False, "it does not check signatures yet", switch)
    if isinstance(admitted, Problem):
        return Finding(host, "signers", False, admitted.reason, admitted.hint)
    copies = {copy.release: copy for copy in admitted.copies}
    live = admitted.live
    if live and live not in copies:
        text = f"the live release {live} is not admitted: it does not start again after a crash"
        return Finding(host, "signers", False, text, f"deploy a signed release: `fab {env} deploy`")
    anew = (
        f"sign it anew (`fab {env} artifacts.sign KEY --key FILE`), then `fab {env} deploy` writes that signature on "
        f"the hosts, and `fab {env} restart` has it checked; or deploy another signed release"
    )
    if live and copies[live].reason:
        text = f"the signer of the live release {live} may not sign any more: {copies[live].reason}"
        return Finding(host, "signers", False, text, anew)
    end = _expiry(seen.signature, allowed)
    if live and end is not None and end.timestamp() - float(seen.clock) < SOON:
        text = f"the signer of the live release {live} may sign until {end:%Y-%m-%d} only"
        return Finding(
            host, "signers", False, text, f"a later `valid-before` in its line, and `fab {env} setup`; or {anew}"
        )
    missing = [release for release in admitted.releases if release not in copies]
    others = f"; not admitted: {', '.join(missing)}" if missing else ""
    count = "1 release is admitted" if len(copies) == 1 else f"{len(copies)} releases are admitted"
    return Finding(host, "signers", True, f"{count}{others}")


def _expiry(signature: str, allowed: str) -> datetime | None:
    """Return until when the key of a signature may sign; None where there is no end, or no such key."""
    try:
        return expiry_of(parse_signature(f"{signature}\n".encode()).fingerprint, allowed)
    except Unsound:
        return None
