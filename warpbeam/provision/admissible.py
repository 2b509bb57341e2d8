"""Whether what is live may start again once admission is switched on, or once other people may sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from warpbeam.error import Problem, Refused
from warpbeam.event import Emit, Note, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.answer import Text, Word
from warpbeam.host.app import AppPhase, app_parameters
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.inventory.signers import read_signers
from warpbeam.provision.admission import admission_files, revoked_file, signers_file
from warpbeam.provision.host_state import HostState
from warpbeam.provision.item import File


class Admissible(msgspec.Struct, frozen=True):
    """The answer of `CheckLive`: the live release, and why it would not be admitted; both may be empty."""

    live: Word = ""
    flaw: Text = ""


class CheckLive(AppPhase[Admissible], frozen=True, kw_only=True):
    """Find whether the live release would be admitted; the head of `warpbeam/provision/check_live.sh` explains it."""

    script: ClassVar[str] = "provision/check_live"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "host/layout", "host/digest", "helper/signature")
    answer: ClassVar[type] = Admissible
    deploy: str
    allowed: str
    revoked: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def check_live(fleet: Fleet, hosts: Mapping[str, HostState], settings: str, emit: Emit) -> None:
    """Check that what is live on hosts where admission is switched on may start again afterwards.

    Where admission is on already and the signers change, a live release that nobody could sign any more goes on, and
    starts again after a crash or a boot: only a warning names it.

    Raises: Refused, where a live release would not be admitted: after a crash or a boot its host would serve nothing.
    """
    inventory = fleet.inventory
    if not inventory.admits:
        _note_switched_off(inventory, hosts, settings, emit)
        return
    allowed, revoked = read_signers(inventory)
    asked = [
        host
        for host in inventory.app_hosts
        if _changes(
            hosts[host.name], {file.path: file for file in admission_files(inventory.of(host), settings)}, settings
        )
    ]

    def look(host: Host) -> Admissible:
        phase = CheckLive(**app_parameters(inventory), deploy=inventory.users.deploy, allowed=allowed, revoked=revoked)
        return fleet.run(host, phase, silent, identity="admin")

    for name, answer in fleet.everywhere(asked, look).items():
        if isinstance(answer, Problem):
            raise answer
        if not answer.flaw:
            continue
        if signers_file(settings) in hosts[name].paths:
            more = "it goes on, and starts again after a crash or a boot; a deploy, or a rollback to it, is refused"
            emit(Warn(name, f"the live release {answer.live}: {answer.flaw}: {more}"))
            continue
        raise Refused(
            f"the live release {answer.live} would not be admitted: {answer.flaw}; nothing was changed on any host",
            "with deploy.allowed_signers only signed releases start, also after a crash: take the key out again, "
            "deploy a signed release (build.sign, `fab ENV deploy --force`), put the key back, then setup",
            host=name,
        )


def _changes(found: HostState, files: Mapping[str, File], settings: str) -> bool:
    """Return whether setup changes who may sign on a host."""
    for path in (signers_file(settings), revoked_file(settings)):
        there, wanted = found.paths.get(path), files.get(path)
        if (there.sha256 if there else "") != (wanted.sha256 if wanted else ""):
            return True
    return False


def _note_switched_off(inventory: Inventory, hosts: Mapping[str, HostState], settings: str, emit: Emit) -> None:
    for host in inventory.app_hosts:
        if signers_file(settings) in hosts[host.name].paths:
            text = "admission is switched off: the deploy key alone decides again what runs"
            emit(Note(host.name, f"{text}; {inventory.admitted} is removed once the app was restarted"))
