"""What `doctor` found, for people."""

from __future__ import annotations

from collections.abc import Sequence

from warpbeam.cli.screen import folded
from warpbeam.provision.diagnosis import Finding

# Where the columns before it leave too little of a line, what runs on begins here.
LITTLE = 6


def lines(findings: Sequence[Finding], room: int = 0) -> list[str]:
    """Findings, never cut, since what is wrong and how to mend it both matter.

    Parameters:
        room: the columns of the screen. There each finding is broken between words, below where it began, and what
            mends it has lines of its own. 0: one line each, as `grep` wants it.
    """
    hosts = max((len(each.host) for each in findings), default=0)
    checks = max((len(each.check) for each in findings), default=0)
    texts: list[str] = []
    for each in findings:
        place = f"{each.host.ljust(hosts)}  {each.check.ljust(checks)}  {'ok   ' if each.good else 'WRONG'}  "
        indent = " " * (len(place) if 2 * len(place) <= room else LITTLE)
        mend = f"-> {each.mend}" if each.mend and not each.good else ""
        if room:
            texts += folded(place + each.found, room, indent).splitlines()
            texts += folded(indent + mend, room, indent + "   ").splitlines() if mend else []
        else:
            texts.append(" ".join(filter(None, (place + each.found, mend))))
    return texts
