"""Findings of `doctor`, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warpbeam.cli.screen import folded
from warpbeam.doctor.finding import Finding

# Indent of a finding's further lines, where the columns before it fill more than half of the screen.
LITTLE = 6


def lines(findings: Sequence[Finding], labels: Mapping[str, str], room: int = 0) -> list[str]:
    """Return findings as lines, never cut, since both the problem and its remedy matter.

    Parameters:
        labels: what to show in place of the name of a host.
        room: the columns of the screen. Each finding is then folded between words, aligned with its beginning, and its
            remedy has lines of its own. 0: one line each, for `grep`.
    """
    shown = {each.host: labels.get(each.host, each.host) for each in findings}
    hosts = max(map(len, shown.values()), default=0)
    checks = max((len(each.check) for each in findings), default=0)
    texts: list[str] = []
    for each in findings:
        place = f"{shown[each.host].ljust(hosts)}  {each.check.ljust(checks)}  {'ok   ' if each.good else 'WRONG'}  "
        indent = " " * (len(place) if 2 * len(place) <= room else LITTLE)
        mend = f"-> {each.mend}" if each.mend and not each.good else ""
        if room:
            texts += folded(place + each.found, room, indent).splitlines()
            texts += folded(indent + mend, room, indent + "   ").splitlines() if mend else []
        else:
            texts.append(" ".join(filter(None, (place + each.found, mend))))
    return texts
