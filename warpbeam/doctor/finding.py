"""A finding: the result of one check on a host."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """The result of one check on a host; `mend` says what to do when it is not `good`."""

    host: str
    check: str
    good: bool
    found: str
    mend: str = ""


def finding(host: str, check: str, wrong: Sequence[str], well: str, mend: str) -> Finding:
    """Return a finding that is good where nothing is `wrong`; `well` says what was found then."""
    return Finding(host, check, False, "; ".join(wrong), mend) if wrong else Finding(host, check, True, well)
