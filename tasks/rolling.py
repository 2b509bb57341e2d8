"""Options of every task that goes from host to host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpbeam.cli.session import Session
    from warpbeam.deploy.policy import Policy
    from warpbeam.fleet.fleet import Fleet
    from warpbeam.fleet.selection import HostSelection

JOBS = "how many hosts at most are worked on at once (default: 16 for each core of this machine)"
FORCE = "also where the files of the release are not as they were deployed"
HELP = {
    "jobs": JOBS,
    # `fab --help` puts the text of the inventory's schema in place of these (warpbeam/inventory/option.py).
    "batch": "in place of `deploy: batch` of the inventory",
    "pause": "in place of `deploy: pause` of the inventory",
    "on-failure": "in place of `deploy: on_failure` of the inventory",
    "skip": "leave these hosts as they are: `web1,@GROUP`, also `web*` and `!web1`; may be given more than once",
    "wait": "seconds to wait for somebody else's deploy lock (default: refuse at once)",
    "skip-unreachable": "leave out hosts that do not answer, and name them at the end",
}


def selection_of(skip: Any = None, skip_unreachable: bool = False, wait: str = "") -> HostSelection:
    """Return the host selection of the command line. Raises: Misuse, where `wait` is no number of seconds."""
    from warpbeam.error import Misuse
    from warpbeam.fleet.selection import HostSelection

    if wait and not (wait.isdigit() and len(wait) <= 6):
        raise Misuse(f"--wait: {wait!r} is no number of seconds")
    return HostSelection(",".join(skip) if skip else None, skip_unreachable, float(wait or 0))


@contextmanager
def explained(here: Session, fleet: Fleet) -> Iterator[None]:
    """Explain problems of work from host to host: the options for an unreachable host, the state after an interrupt."""
    from warpbeam.error import Unreachable
    from warpbeam.operate.after_interrupt import emit_after_interrupt

    try:
        yield
    except Unreachable as away:
        # Not for a build host, which no option can leave out.
        if away.host not in {host.name for host in fleet.inventory.app_hosts}:
            raise
        options = f"`--skip {away.host}` goes on without it, `--skip-unreachable` without any that does not answer"
        raise away.hinted(options) from away
    except KeyboardInterrupt:
        emit_after_interrupt(fleet, here.emit)
        raise


def policy_of(fleet: Fleet, batch: str, pause: str, on_failure: str) -> Policy:
    """Return the rollout policy of the command line and the inventory."""
    from warpbeam.deploy.policy import policy_of as policy_asked_for

    return policy_asked_for(fleet.inventory, batch=batch, pause=pause, on_failure=on_failure)
