"""The pace of an upload, on a simulated network and sshd; tests/hosts has real ones."""

from __future__ import annotations

import math
from collections import deque

import pytest

from warpbeam.ssh.pace import LEAST, PATIENCE, Pace

PACKET = 32768
WINDOW = 2 << 20
TICK = 0.001


class Way:
    """A simulated connection to a command.

    Each direction takes `delay` seconds. The command reads `rate` bytes a second, and reports them after every `tells`.
    """

    def __init__(self, *, delay: float, rate: float, tells: int = 3 * PACKET) -> None:
        self.delay, self.rate, self.tells = delay, rate, tells
        self.now = 0.0
        # The time from which on the delay is longer, and by how much.
        self.longer = (math.inf, 0.0)
        self.window = WINDOW
        self.unread = self.untold = self.most = self.read = 0
        self.there: deque[tuple[float, int]] = deque()
        self.back: deque[tuple[float, int]] = deque()

    def rsync(self) -> None:
        """Advance by one tick."""
        now = self.now = self.now + TICK
        if now >= self.longer[0]:
            self.delay += self.longer[1]
            self.longer = (math.inf, 0.0)
        while self.there and self.there[0][0] <= now:
            self.unread += self.there.popleft()[1]
        self.most = max(self.most, self.unread)
        taken = min(self.unread, int(self.rate * TICK))
        self.unread -= taken
        self.read += taken
        self.untold += taken
        if self.untold > self.tells:
            self.back.append((now + self.delay, self.untold))
            self.untold = 0
        while self.back and self.back[0][0] <= now:
            self.window += self.back.popleft()[1]


def seconds(way: Way, size: int, pace: Pace | None) -> float:
    """Return how many seconds the command takes to read a body of that size."""
    began, goal, left = way.now, way.read + size, size
    told, window = way.now, way.window
    while way.read < goal:
        while left and way.window and (pace is None or not pace.full(way.window, way.now)):
            piece = min(PACKET, left, way.window)
            way.window -= piece
            way.there.append((way.now + way.delay, piece))
            if pace is not None:
                pace.sent(piece, way.now)
            left -= piece
        if way.window != window:
            told, window = way.now, way.window
        elif pace is not None and way.now - told >= PATIENCE:
            pace.stalled()
            told = way.now
        way.rsync()
        assert way.now < 600, "it stands still"
    return way.now - began


@pytest.mark.parametrize("rate", [2e6, 10e6, 60e6])
def test_on_a_fast_network_little_piles_up_and_the_command_never_waits(rate: float) -> None:
    way, plain = (Way(delay=0.0005, rate=rate) for _ in range(2))

    took, floor = seconds(way, 30_000_000, Pace()), seconds(plain, 30_000_000, None)

    assert plain.most > 0.9 * WINDOW
    assert way.most < 1.5 * LEAST
    assert took < 1.02 * floor


@pytest.mark.parametrize("rate", [4e6, 15e6, 40e6])
@pytest.mark.parametrize("delay", [0.005, 0.02, 0.1])
def test_on_a_long_network_it_soon_sends_as_fast_as_the_window_lets_it(delay: float, rate: float) -> None:
    took, floor = (seconds(Way(delay=delay, rate=rate), 30_000_000, pace) for pace in (Pace(), None))

    # The pace needs some round trips to measure the delay.
    assert took < 1.02 * floor + 8 * 2 * delay


def test_a_command_that_reads_little_for_a_while_is_not_sent_less_for_good() -> None:
    pace, way = Pace(), Way(delay=0.02, rate=1e5)
    seconds(way, 300_000, pace)
    way.rate = 40e6
    floor = seconds(Way(delay=0.02, rate=40e6), 30_000_000, None)

    assert seconds(way, 30_000_000, pace) < 1.02 * floor + 8 * 0.04


@pytest.mark.parametrize(("delay", "longer", "at"), [(0.015, 0.060, 1.0), (0.005, 0.045, 0.3)])
def test_a_path_that_becomes_longer_is_filled_again(delay: float, longer: float, at: float) -> None:
    def way() -> Way:
        way = Way(delay=delay, rate=15e6)
        way.longer = (at, longer)
        return way

    took, floor = (seconds(way(), 750_000_000, pace) for pace in (Pace(), None))

    # Old measurements are dropped after twenty seconds at the latest.
    assert took < floor + 20


def test_a_server_that_opens_the_window_only_when_it_is_nearly_full_gets_everything() -> None:
    took = seconds(Way(delay=0.0005, rate=50e6, tells=WINDOW * 3 // 4), 10_000_000, Pace())

    assert took < 10_000_000 / 50e6 + 12 * PATIENCE


def test_nothing_is_sent_without_a_window() -> None:
    pace = Pace()

    assert pace.full(0, 0.0)
    assert not pace.full(WINDOW, 1.0)
