"""How much of a long body is under way at once: enough that the network stays full, and not much more.

sshd lets 2 MB come that its command has not read yet (CHAN_SES_WINDOW_DEFAULT in OpenSSH's channels.h), and enlarges,
clears and moves its buffers for that. Where the command is the slow part, as `tar -xz` is on a fast network, that is
more than half of what sshd does: 0.39 s of the processor on each of ten hosts that are sent a release of 30 MB at once,
and 0.18 with a pace (`perf record`).

So, as BBR has it (draft-cardwell-iccrg-bbr-congestion-control), no more is under way than twice what the command takes,
at the fastest that was seen of late, in the shortest time that anything took there and back.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# Bytes that may always be under way. sshd says what its command has taken once that is over three packets of 32 kB.
LEAST = 256 << 10
# Seconds without a word of what was taken, after which more is sent: other servers may say so less often.
PATIENCE = 0.5
# Seconds after which what was measured is old, as in BBR: somebody else's traffic makes a way longer, a command slower.
# (Measured anew it is with what is under way then, so that more piles up in a body that takes long: 256 kB each time.)
PERIOD = 10.0


class _Measured(NamedTuple):
    """Of one period: the shortest way there and back, in seconds; the most that was taken, in bytes a second."""

    shortest: float = math.inf
    fastest: float = 0.0

    def and_(self, other: _Measured) -> _Measured:
        """Of both periods."""
        return _Measured(min(self.shortest, other.shortest), max(self.fastest, other.fastest))


class Pace:
    """The pace of one body.

    Times are in seconds of a monotonic clock; a window is what may still be sent (RFC 4254, 5.2).
    """

    def __init__(self) -> None:
        self._granted = 0  # the window when nothing is under way
        self._allowed = LEAST
        self._sent = self._taken = 0
        self._last, self._now, self._since = _Measured(), _Measured(), 0.0
        # How the way is measured, until what was sent by then is taken: how much was sent, and taken, and since when.
        self._mark: tuple[int, int, float] | None = None

    def full(self, window: int, now: float) -> bool:
        """Whether nothing may be sent for now, with this window."""
        self._granted = max(self._granted, window)
        under_way = self._granted - window
        self._taken = self._sent - under_way
        if self._mark is not None:
            sent, taken, began = self._mark
            if self._taken >= sent and now > began:
                if now - self._since > PERIOD:
                    self._last, self._now, self._since = self._now, _Measured(), now
                self._now = self._now.and_(_Measured(now - began, (self._taken - taken) / (now - began)))
                of_late = self._last.and_(self._now)
                self._allowed = max(LEAST, int(2 * of_late.fastest * of_late.shortest))
                self._mark = None
        return window == 0 or under_way >= self._allowed

    def sent(self, count: int, began: float) -> None:
        """So many bytes more were sent, from that time on."""
        self._sent += count
        if self._mark is None:
            self._mark = self._sent, self._taken, began

    def stalled(self) -> None:
        """Nothing was taken for PATIENCE: somewhat more may be under way than so far."""
        self._allowed += LEAST
