"""Make one host what it should be, in at most three exec requests: read its facts, change what differs, check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from warpbeam.error import Failed, Refused
from warpbeam.event import Emit, Step, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import HELPER_VERSION, helper, suspects_file
from warpbeam.host.phase import Phase
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.app_template import etc
from warpbeam.provision.compiler import asked_packages
from warpbeam.provision.difference import Difference, difference
from warpbeam.provision.environment_files import COOKIE_MARK
from warpbeam.provision.footprint import Footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.item import File
from warpbeam.runtime.kinds import COOKIE


class Inspect(Phase[HostState], frozen=True, kw_only=True):
    """Read what setup compares, and change nothing; the head of `warpbeam/provision/inspect.sh` explains its fields."""

    script: ClassVar[str] = "provision/inspect"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "provision/mask", "host/login", "provision/other_apps")
    answer: ClassVar[type] = HostState
    users: tuple[str, ...]
    paths: tuple[str, ...]
    files: tuple[str, ...]
    key: str
    units: tuple[str, ...]
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    cookie_file: str
    cookie_variable: str
    cookie_mark: str
    ledger: str
    app: str
    app_user: str
    root: str
    helper: str
    deploy: str
    admitted: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Changed(msgspec.Struct, frozen=True):
    """The answer of `Converge`."""

    changed: bool


class Converge(Phase[Changed], frozen=True, kw_only=True):
    """Apply a difference to a host; the head of `warpbeam/provision/converge.sh` explains its fields."""

    script: ClassVar[str] = "provision/converge"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "provision/evict", "provision/fresh_inodes")
    answer: ClassVar[type] = Changed
    packages: tuple[str, ...]
    installer: str
    users: tuple[str, ...]
    closed: tuple[str, ...]
    opened: tuple[str, ...]
    evicted: tuple[str, ...]
    build: str
    activation: str
    unmanaged: tuple[str, ...]
    directories: tuple[str, ...]
    files: tuple[str, ...]
    absent: tuple[str, ...]
    units: tuple[str, ...]
    overrides: tuple[str, ...]
    ledger: str
    reconcile: str
    root: str
    suspects: str


def inspect(fleet: Fleet, host: Host, want: Footprint, emit: Emit, *, key: str = "") -> HostState:
    """Return the present state of everything on `host` that `want` names.

    Parameters:
        want: what the host should have; the values of secrets and of the cookie do not matter here.
        key: when given, the host also answers the texts of files that differ; digests under it replace hidden values.

    Raises:
        Refused: a program that setup needs is not installed, or the host cannot be reached; nothing was changed.
    """
    inventory = fleet.inventory
    is_app = "app" in host.roles
    emit(Step(host.name, "inspect"))
    phase = Inspect(
        users=tuple(user.name for user in want.users),
        paths=(*(directory.path for directory in want.directories), *want.absent),
        files=tuple(part for file in want.files for part in (file.path, file.sha256, _shown(file, want, key))),
        key=key,
        units=want.units,
        packages=asked_packages(want.packages, kit=want.kit),
        programs=_programs(inventory) if is_app else ("tar",),
        cookie_file=f"{etc(inventory)}/cookie.env" if is_app else "",
        cookie_variable=COOKIE,
        cookie_mark=COOKIE_MARK,
        ledger=want.ledger,
        app=inventory.app if is_app else "",
        app_user=inventory.app_user,
        root=str(inventory.root),
        helper=helper(inventory) if is_app else "",
        deploy=inventory.users.deploy,
        admitted=str(inventory.admitted) if is_app and inventory.admits else "",
    )
    found = fleet.run(host, phase, emit, identity="admin")
    if found.missing:
        raise Refused(
            f"{', '.join(found.missing)} {'is' if len(found.missing) == 1 else 'are'} not installed",
            "on Debian: apt-get install nftables sudo util-linux iproute2; on Fedora: dnf install nftables sudo "
            "util-linux iproute",
            host=host.name,
        )
    return found


def _programs(inventory: Inventory) -> tuple[str, ...]:
    """Return the programs that an app host needs."""
    return ("nft", "sudo", "visudo", "setpriv", "ss", "flock", *(("ssh-keygen", "tar") if inventory.admits else ()))


def _shown(file: File, want: Footprint, key: str) -> str:
    """Return how `inspect.sh` shows the file. authorized_keys is always shown: setup lists the keys that it removes."""
    if file.path == want.keys:
        return "text"
    if not key:
        return ""
    return "text" if file.clear is None else " ".join(("masked", *file.clear))


def converge(fleet: Fleet, host: Host, plan: Difference, found: HostState, want: Footprint, emit: Emit) -> None:
    """Apply `plan` to `host` and check that it then has `want`; when nothing is to change, check what was found.

    Raises:
        Failed: a change failed, or the host does not have `want` afterwards.
    """
    inventory = fleet.inventory
    if plan:
        phase = Converge(
            packages=plan.packages,
            installer=found.installer,
            users=tuple(part for user in plan.users for part in (user.name, user.home, str(user.login).lower())),
            closed=plan.closed,
            opened=plan.opened,
            evicted=tuple(part for user in plan.evicted for part in (user.name, user.home)),
            build=f"{inventory.root}/build" if "build" in host.roles else "",
            activation=f"{inventory.app}-activate.service" if "app" in host.roles else "",
            unmanaged=plan.unmanaged,
            directories=tuple(
                part for item in plan.directories for part in (item.path, item.mode, item.owner, item.group)
            ),
            files=tuple(
                part
                for file in plan.files
                for part in (file.path, file.mode, file.owner, file.group, file.needs, file.content)
            ),
            absent=plan.absent,
            units=plan.units,
            overrides=tuple(inventory.of(host).service),
            ledger=want.ledger,
            reconcile=helper(inventory) if "app" in host.roles and _reconciles(inventory, plan) else "",
            root=str(inventory.root) if "app" in host.roles else "",
            suspects=suspects_file(inventory),
        )
        fleet.run(host, phase, emit, identity="admin")
        emit(Step(host.name, "check"))
        found = inspect(fleet, host, want, silent)
    problems = [*difference(want, found, host.name).sentences(), *_helper_problem(fleet, host, found)]
    if problems:
        raise Failed(f"not as it should be after setup: {'; '.join(problems)}", host=host.name)


def _reconciles(inventory: Inventory, plan: Difference) -> bool:
    """Return whether the helper must make tables and copies agree again, or remove what admission has left."""
    needs = any(file.needs in ("nft", "reconcile") for file in plan.files)
    # A setup that was cut off may have written the signers, and not have come to the helper.
    programs = inventory.admits and bool(plan.files)
    return needs or programs or bool(plan.absent or plan.unadmitted or plan.discounted)


def _helper_problem(fleet: Fleet, host: Host, found: HostState) -> Iterator[str]:
    if "app" in host.roles and found.helper != HELPER_VERSION:
        deploy = fleet.inventory.users.deploy
        if found.helper:
            yield f"the privileged helper answers version {found.helper}; expected {HELPER_VERSION}"
        else:
            yield f"{deploy} may not run {helper(fleet.inventory)} through sudo: see /etc/sudoers.d there"
