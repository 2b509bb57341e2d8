"""A finding: the result of one check on a host."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from warpbeam.error import addressed


class Finding(msgspec.Struct, frozen=True):
    """The result of one check on a host; `mend` says what to do when it is not `good`."""

    host: str
    check: str
    good: bool
    found: str
    mend: str = ""


def addressed_findings(findings: Sequence[Finding], environment: str) -> list[Finding]:
    """Return findings with the environment's name in their commands, in place of the ENV of `fab ENV`."""
    return [
        msgspec.structs.replace(each, found=addressed(each.found, environment), mend=addressed(each.mend, environment))
        for each in findings
    ]


def finding(host: str, check: str, wrong: Sequence[str], well: str, mend: str) -> Finding:
    """Return a finding that is good where nothing is `wrong`; `well` says what was found then."""
    return Finding(host, check, False, "; ".join(wrong), mend) if wrong else Finding(host, check, True, well)
