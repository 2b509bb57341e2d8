"""Pace of a long body: as many bytes in flight as keep the network full, and not many more.

sshd accepts 2 MB that its command has not read yet (CHAN_SES_WINDOW_DEFAULT in OpenSSH's channels.h), and enlarges,
clears and moves its buffers for them. Where the command is the slow part, as `tar -xz` is on a fast network, this is
more than half of sshd's work: 0.39 s of processor time on each of ten hosts that receive a release of 30 MB at once,
and 0.18 s with a pace (`perf record`).

So, as in BBR (draft-cardwell-iccrg-bbr-congestion-control), the bytes in flight are at most twice the product of the
command's highest recent rate and the shortest recent round trip.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# Bytes that may always be in flight. sshd reports what its command has read once that exceeds three packets of 32 kB.
LEAST = 256 << 10
# Seconds without such a report, after which more is sent: other servers may report less often.
PATIENCE = 0.5
# Seconds after which a measurement is old, as in BBR: traffic of others makes round trips longer and commands slower.
# (A new measurement includes the bytes in flight at that time, so these grow during a long body: by 256 kB each time.)
PERIOD = 10.0


class _Measured(NamedTuple):
    """Measurements of one period: the shortest round trip, in seconds; the highest rate of reading, in bytes/second."""

    shortest: float = math.inf
    fastest: float = 0.0

    def and_(self, other: _Measured) -> _Measured:
        """Return the measurements of both periods together."""
        return _Measured(min(self.shortest, other.shortest), max(self.fastest, other.fastest))


class Pace:
    """The pace of one body.

    Times are in seconds of a monotonic clock; a window is the bytes that may still be sent (RFC 4254, 5.2).
    """

    def __init__(self) -> None:
        self._granted = 0  # the window when no bytes are in flight
        self._allowed = LEAST
        self._sent = self._taken = 0
        self._last, self._now, self._since = _Measured(), _Measured(), 0.0
        # The running measurement: bytes sent and bytes read at its begin, and the time of that. It ends when the
        # command has read all these bytes.
        self._mark: tuple[int, int, float] | None = None

    def full(self, window: int, now: float) -> bool:
        """Return whether nothing may be sent now, with this window."""
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
        """Count bytes that were sent from the time `began` on."""
        self._sent += count
        if self._mark is None:
            self._mark = self._sent, self._taken, began

    def stalled(self) -> None:
        """Allow somewhat more bytes in flight, because nothing was read for PATIENCE."""
        self._allowed += LEAST
