"""New hosts: those of a rollout that nothing has been set up on yet, made ready before its lock is taken."""

from __future__ import annotations

from warpbeam.deploy.lock import look
from warpbeam.error import Unready
from warpbeam.event import Emit, Note, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.inventory.schema import Host
from warpbeam.provision.setup import set_up


def set_up_new(fleet: Fleet, selection: HostSelection, emit: Emit) -> None:
    """Do what `setup` does, as the admin, on each app host of `selection` that does not know the deploy user yet.

    Hosts that are set up, by whatever version of Warpbeam, stay as they are.

    Raises: as `set_up`.
    """
    new = new_hosts(fleet, selection)
    if not new:
        return
    emit(Note("", f"not set up yet: {', '.join(host.name for host in new)}"))
    set_up(fleet.narrowed(new), emit)


def new_hosts(fleet: Fleet, selection: HostSelection) -> list[Host]:
    """Return the app hosts of `selection` that are not set up; one with another problem is not among them."""
    hosts = selection.hosts(fleet.inventory)
    found = look(fleet, hosts, silent)
    return [host for host in hosts if isinstance(found[host.name], Unready)]
