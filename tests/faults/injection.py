"""The faults themselves: what is so beforehand, and what happens at a step."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable

from tests.faults.fixture import ROOT, HostFixture
from tests.faults.matrix import Case

# Seconds in which no packet passes: more than an impatient `fab` needs to notice.
CUT = 5.0
SIGNALS = {"fab-term": signal.SIGTERM, "fab-kill": signal.SIGKILL, "fab-int": signal.SIGINT}


def prepare_fault(case: Case, victim: HostFixture) -> None:
    """Make so what the case has from before its command."""
    match case.cell.fault:
        case "clock-back":
            victim.set_clock_back()
        case "current-dangling":
            victim.sh(f"ln -sfn slots/c {ROOT}/current && chown -h deploy: {ROOT}/current")
        case "current-missing":
            victim.sh(f"rm {ROOT}/current")
        case "slot-dangling":
            link = f"{ROOT}/slots/{victim.live_slot}"
            victim.sh(f"ln -sfn ../releases/20010101T000000Z {link} && chown -h deploy: {link}")
        case "inodes-full":
            victim.make_inodes_scarce()


def inject_fault(
    case: Case,
    victim: HostFixture,
    fab: subprocess.Popen[str] | None,
    live: str,
    second: Callable[[], subprocess.Popen[str]],
) -> subprocess.Popen[str] | None:
    """Let the fault happen now.

    Parameters:
        fab: the command that is running; None when it has ended.
        live: the slot that was live when it began; the new instance is in the other one.
        second: begins another deploy; it is returned, where the fault is that.
    """
    match case.cell.fault:
        case "fab-term" | "fab-kill" | "fab-int" as kind:
            assert fab is not None
            fab.send_signal(SIGNALS[kind])
        case "cut" | "reset" as kind:
            victim.cut(reset=kind == "reset")
            threading.Timer(CUT, victim.lift).start()
        case "crash" | "power-loss" as kind:
            victim.fall(power=kind == "power-loss")
        case "kill-live":
            victim.kill(live)
        case "kill-new":
            victim.kill("b" if live == "a" else "a")
        case "disk-full":
            victim.fill_disk()
        case "inodes-full":
            victim.fill_inodes()
        case "two-deploys":
            return second()
        case unknown:
            raise AssertionError(f"nobody knows how to make {unknown}")
    return None
