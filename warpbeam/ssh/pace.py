"""How much of a long body is under way at once: enough that the network stays full, and not much more.

sshd lets 2 MB come that its command has not read yet (CHAN_SES_WINDOW_DEFAULT in OpenSSH's channels.h), and enlarges,
clears and moves its buffers for that. Where the command is the slow part, as `tar -xz` is on a fast network, that is
more than half of what sshd does: 0.39 s of the processor on each of ten hosts that are sent a release of 30 MB at once,
and 0.18 with a pace (`perf record`).

So, as BBR has it (draft-cardwell-iccrg-bbr-congestion-control), no more is under way than twice what the command takes,
at the fastest that was seen, in the shortest time that anything took there and back.
"""

from __future__ import annotations

import math

# Bytes that may always be under way. sshd says what its command has taken once that is over three packets of 32 kB.
LEAST = 256 << 10
# Seconds without a word of what was taken, after which more is sent: other servers may say so less often.
PATIENCE = 0.5


class Pace:
    """The pace of one body.

    Times are in seconds of a monotonic clock; a window is what may still be sent (RFC 4254, 5.2).
    """

    def __init__(self) -> None:
        self._granted = 0  # the window when nothing is under way
        self._allowed = LEAST
        self._sent = self._taken = 0
        self._shortest, self._fastest = math.inf, 0.0
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
                self._shortest = min(self._shortest, now - began)
                self._fastest = max(self._fastest, (self._taken - taken) / (now - began))
                self._allowed = max(LEAST, int(2 * self._fastest * self._shortest))
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
