"""Progress of transfers: to each host, and to all of them together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from warpbeam.event import Progress
from warpbeam.size import size

SOON = 0.5  # seconds of a transfer before its rate is meaningful


class _Transfer(msgspec.Struct):
    """A transfer, in bytes; `began` is the time of its first bytes, in seconds of a monotonic clock, or 0."""

    name: str
    done: int
    total: int
    began: float = 0.0


class Transfers:
    """The transfers under way, by their `Progress` events."""

    def __init__(self) -> None:
        self._of: dict[str, _Transfer] = {}

    def is_shown(self, event: Progress, now: float) -> bool:
        """Record an event; return whether a transfer begins with it."""
        there = self._of.get(event.host)
        new = there is None or there.name != event.name or event.done < there.done
        if there is None or new:
            if all(each.done == each.total for each in self._of.values()):
                # All earlier transfers are complete.
                self._of.clear()
            there = self._of[event.host] = _Transfer(event.name, 0, event.total)
        there.done = event.done
        if event.done and not there.began:
            there.began = now
        return new

    def of(self, host: str, now: float) -> str:
        """Return the progress of a host's transfer, in words: bytes, rate, time left."""
        return _sentence([self._of[host]], now)

    def together(self, now: float) -> str:
        """Return the progress of all transfers in sum; empty where there are fewer than two, or all are complete."""
        each = list(self._of.values())
        if len(each) < 2 or all(one.done == one.total for one in each):
            return ""
        return _sentence(each, now)


def _sentence(each: Sequence[_Transfer], now: float) -> str:
    done, total = sum(one.done for one in each), sum(one.total for one in each)
    seconds = now - min((one.began for one in each if one.began), default=now)
    rate = done / seconds if seconds > SOON else 0
    speed = f" at {size(rate)}/s" if rate else ""
    left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
    return f"{each[0].name} {size(done)} of {size(total)}{speed}{left}"
