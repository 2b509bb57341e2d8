"""An environment: an app and the hosts that it runs on, from a YAML file of `inventory/` and those that it extends.

`inventory/example.yml` explains every key; a test compares it with these types.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from warpbeam.error import Misuse
from warpbeam.inventory.build import Build
from warpbeam.inventory.extends import Extends
from warpbeam.inventory.firewall import Firewall, PublicPort
from warpbeam.inventory.hooks import Hooked, Hooks
from warpbeam.inventory.hosts_from import HostsFrom
from warpbeam.inventory.names import (
    Address,
    AppName,
    AppPort,
    Batch,
    DeployKey,
    DirectiveName,
    DirectiveValue,
    DrainSeconds,
    Expression,
    GroupName,
    HostFile,
    HostName,
    NodePeer,
    OrgName,
    PackageName,
    Pause,
    Port,
    Requirement,
    Roles,
    Seconds,
    UrlPath,
    UserName,
    VariableName,
    VariableValue,
)
from warpbeam.inventory.secret import Secrets
from warpbeam.inventory.shape import DERIVED, HIDDEN

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an inventory, in which unknown keys are errors."""


class Host(Value, frozen=True):
    """One machine. `name` is its key under `hosts:`; without an `address`, ssh looks up the name.

    `build` names the build host whose releases it gets; without one, that is the build host that fits.
    """

    name: Annotated[HostName, DERIVED] = ""
    address: Address | None = None
    port: Port | None = None
    roles: Roles = ("app",)
    build: HostName | None = None
    group: GroupName | None = None


class Users(Value, frozen=True):
    """The three users of a host. With `admin: null`, ssh's own configuration decides who logs in."""

    admin: UserName | None = None
    deploy: UserName = "deploy"
    app: UserName | None = None


class Ssh(Value, frozen=True):
    """Settings for reaching the hosts, in addition to ~/.ssh/config. Paths are absolute after reading."""

    config: Path | None = None
    known_hosts: Path | None = None
    identities: tuple[Path, ...] = ()
    connect_timeout: Seconds = 10
    answer_timeout: Seconds = 60


class Http(Value, frozen=True):
    """Ports: clients connect to `port`; the instance of each slot listens on a port of its own."""

    port: Port = 80
    slots: tuple[AppPort, AppPort] = (4001, 4002)
    distribution: tuple[AppPort, AppPort] = (9001, 9002)
    maintenance: AppPort = 4003


class Health(Value, frozen=True):
    """The check of an instance: it is healthy when `path` on the slot's port answers `status`, or `rpc` is true.

    Times are in seconds. A new instance must stay healthy for `settle` before it becomes live.
    """

    path: UrlPath = "/health"
    status: Annotated[int, Meta(ge=100, le=599, description="an HTTP status from 100 to 599")] = 200
    interval: Seconds = 0.2
    rpc: Expression | None = None
    timeout: Seconds = 5
    deadline: Seconds = 60
    settle: Pause = 3


def overridden_by(option: str, value: str = "") -> Meta:
    """Return the note on a field that an option overrides: the option's text, and the word for its value.

    `warpbeam/inventory/option.py` makes the option of it.
    """
    return Meta(extra={"option": option, "value": value})


_BATCH = overridden_by("how many hosts at once: `1,25%` is first one, then a quarter of them at a time", "SIZE")
_PAUSE = overridden_by("the wait between two batches; changed hosts must still be healthy after it", "SECONDS")
_ON_FAILURE = overridden_by("when a host fails, those that have changed `stop` as they are, or `rollback` too")


class Deploy(Value, frozen=True):
    """Settings for replacing one release by another.

    `drain` is how long the old instance may take to finish, `pause` how long to wait between two batches, in seconds.
    """

    strategy: Literal["restart", "blue-green"] = "restart"
    keep: Annotated[int, Meta(ge=2, le=100, description="a number of releases from 2 to 100")] = 5
    drain: DrainSeconds = 30
    balancer_drain: Pause = 0
    batch: Annotated[Batch, _BATCH] = "1,25%"
    pause: Annotated[Pause, _PAUSE] = 0
    on_failure: Annotated[Literal["stop", "rollback"], _ON_FAILURE] = "stop"
    migrate: Expression | None = None
    allowed_signers: Path | None = None
    revoked_signers: Path | None = None


class Vm(Value, frozen=True):
    """Settings of the Erlang VM; with None, the VM's default or the release's vm.args apply.

    `crash_dump` is how large a dump may be, in MiB. `peers` may reach the nodes: hosts of the inventory, addresses or
    networks; without any, nodes listen on loopback only.
    """

    ports: (
        Annotated[int, Meta(ge=1024, le=134217727, description="a number of ports from 1024 to 134217727")] | None
    ) = None
    async_threads: Annotated[int, Meta(ge=0, le=1024, description="a number of threads from 0 to 1024")] | None = None
    kernel_poll: Annotated[bool, Meta(description="true or false")] | None = None
    fullsweep_after: Annotated[int, Meta(ge=0, le=65535, description="a number from 0 to 65535")] | None = None
    crash_dump: Annotated[int, Meta(ge=0, le=65536, description="a number of MiB from 0 to 65536")] = 64
    peers: tuple[NodePeer, ...] = ()


class Inventory(Value, frozen=True):
    """One environment. `file` is the file that it was read from, `name` the file's name without .yml.

    `hosts` are those chosen with -H, or all; `all_hosts` are always all of them, those of `hosts_from` too.
    `build_root` is where builds are, where that is not below `root`: on this machine (`build-on-host --here`).
    """

    org: OrgName
    app: AppName
    hosts: dict[HostName, Host]
    name: Annotated[str, DERIVED] = ""
    file: Annotated[Path, DERIVED] = Path()
    all_hosts: Annotated[dict[HostName, Host], DERIVED] = {}
    build_root: Annotated[str, DERIVED] = ""
    warpbeam: Requirement | None = None
    extends: Extends = ()
    hosts_from: tuple[HostsFrom, ...] = ()
    source: Path | None = None
    release: AppName | None = None
    users: Users = Users()
    ssh: Ssh = Ssh()
    http: Http = Http()
    ports: dict[VariableName, PublicPort] = {}
    firewall: Firewall = Firewall()
    health: Health = Health()
    deploy: Deploy = Deploy()
    build: Build = Build()
    env: dict[VariableName, VariableValue] = {}
    secrets: Secrets = {}
    files: dict[HostFile, Path] = {}
    deploy_keys: Annotated[tuple[DeployKey, ...] | None, HIDDEN] = None
    packages: tuple[PackageName, ...] = ()
    service: dict[DirectiveName, DirectiveValue] = {}
    vm: Vm = Vm()
    hooks: dict[Hooked, Hooks] = {}

    def __post_init__(self) -> None:
        if not self.all_hosts:
            msgspec.structs.force_setattr(self, "all_hosts", self.hosts)

    @property
    def app_user(self) -> str:
        """The user that runs the app."""
        return self.users.app or self.app

    @property
    def release_name(self) -> str:
        """The name of the release in Mix."""
        return self.release or self.app

    @property
    def root(self) -> PurePosixPath:
        """The directory of the app on its hosts."""
        return PurePosixPath("/opt", self.org, self.app)

    @property
    def admits(self) -> bool:
        """Whether hosts run only releases that root has verified and copied (docs/admission.md)."""
        return self.deploy.allowed_signers is not None

    @property
    def admitted(self) -> PurePosixPath:
        """The directory of those copies, beside `root`: the deploy user cannot write there."""
        return self.root.with_name(f"{self.app}.admitted")

    @property
    def app_hosts(self) -> tuple[Host, ...]:
        """The chosen hosts that run the app, in the file's order."""
        return tuple(host for host in self.hosts.values() if "app" in host.roles)

    def some_app_hosts(self) -> list[Host]:
        """Return the chosen hosts that run the app. Raises: Misuse, where there is none."""
        if not self.app_hosts:
            raise Misuse(f"{self.file}: no chosen host has the role app", "see -H, and `roles` in the inventory")
        return list(self.app_hosts)

    @property
    def all_app_hosts(self) -> tuple[Host, ...]:
        """The hosts that run the app, whether chosen or not, in the file's order."""
        return tuple(host for host in self.all_hosts.values() if "app" in host.roles)

    @property
    def build_hosts(self) -> tuple[Host, ...]:
        """The hosts with role `build`: the chosen ones, else all, since -H is about where to deploy."""
        chosen = tuple(host for host in self.hosts.values() if "build" in host.roles)
        return chosen or tuple(host for host in self.all_hosts.values() if "build" in host.roles)

    @property
    def migrate_host(self) -> Host | None:
        """The chosen host with role `migrate`, else the first chosen host that runs the app.

        It is a chosen host, because only those get the release that has the migrations.
        """
        named = (host for host in self.app_hosts if "migrate" in host.roles)
        return next(named, next(iter(self.app_hosts), None))

    @property
    def building(self) -> str:
        """Return the directory of the app's builds: this user's own (`--here`), else the one on the build host."""
        return self.build_root or str(self.root)

    def port(self, slot: Slot) -> int:
        """Return the port where the instance in `slot` serves HTTP."""
        return self.http.slots[SLOTS.index(slot)]

    def leads(self, slot: Slot) -> dict[int, int]:
        """Return the target of each public port while `slot` is live; the HTTP port comes first."""
        index = SLOTS.index(slot)
        return {self.http.port: self.port(slot)} | {port.public: port.slots[index] for port in self.ports.values()}

    def slot_ports(self) -> tuple[int, ...]:
        """Return every port that an instance serves: for HTTP in slots a and b, then for the further public ports."""
        return (*self.http.slots, *(port for each in self.ports.values() for port in each.slots))

    def dist_port(self, slot: Slot) -> int:
        """Return the loopback port where the node in `slot` takes Erlang distribution."""
        return self.http.distribution[SLOTS.index(slot)]

    def unit(self, slot: Slot) -> str:
        """Return the systemd unit of the instance in `slot`."""
        return f"{self.app}@{slot}.service"
