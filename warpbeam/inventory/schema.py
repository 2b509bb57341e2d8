"""An environment: an app and the hosts that it runs on, from a YAML file of `inventory/` and those that it extends.

`inventory/example.yml` explains every key; a test compares it with these types.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from warpbeam.error import Misuse
from warpbeam.inventory.build import Build
from warpbeam.inventory.codedeploy import CodeDeploy
from warpbeam.inventory.extends import Extends
from warpbeam.inventory.firewall import Firewall, PublicPort
from warpbeam.inventory.hooks import Hooked, Hooks
from warpbeam.inventory.hosts_from import HostsFrom
from warpbeam.inventory.instance import Group, Health, Http, ShortHttp, Value, Vm
from warpbeam.inventory.names import (
    Address,
    AppName,
    Batch,
    DeployKey,
    DirectiveName,
    DirectiveValue,
    DrainSeconds,
    Expression,
    GroupName,
    HostFile,
    HostName,
    OrgName,
    PackageName,
    Pause,
    Port,
    Requirement,
    Roles,
    Seconds,
    UserName,
    VariableName,
    VariableValue,
)
from warpbeam.inventory.secret import Secrets
from warpbeam.inventory.shape import DERIVED, HIDDEN

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")


class Host(Group, frozen=True):
    """One machine. `name` is its key under `hosts:`; without an `address`, ssh looks up the name.

    `build` names the build host whose releases it gets; without one, that is the build host that fits. `group` names
    the group whose settings it has; its own come after those.
    """

    name: Annotated[HostName, DERIVED] = ""
    address: Address | None = None
    port: Port | None = None
    roles: Roles = ("app",)
    build: HostName | None = None
    group: GroupName | None = None

    @property
    def label(self) -> str:
        """The host as people see it: `worker1 (worker)` where it has a group."""
        return f"{self.name} ({self.group})" if self.group else self.name


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
    `order` names groups in the order in which they change.
    """

    strategy: Literal["restart", "blue-green"] = "restart"
    keep: Annotated[int, Meta(ge=2, le=100, description="a number of releases from 2 to 100")] = 5
    drain: DrainSeconds = 30
    balancer_drain: Pause = 0
    batch: Annotated[Batch, _BATCH] = "1,25%"
    pause: Annotated[Pause, _PAUSE] = 0
    on_failure: Annotated[Literal["stop", "rollback"], _ON_FAILURE] = "stop"
    order: tuple[GroupName, ...] = ()
    migrate: Expression | None = None
    allowed_signers: Path | None = None
    revoked_signers: Path | None = None


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One environment. `file` is the file that it was read from, `name` the file's name without .yml.

    `hosts` are those chosen with -H, or all; `all_hosts` are always all of them, those of `hosts_from` too.
    `build_root` is where builds are, where that is not below `root`: on this machine (`build-on-host --here`). `own` is
    what the environment is for a host with a group or with settings of its own: ask `of`.
    """

    org: OrgName
    app: AppName
    hosts: dict[HostName, Host]
    name: Annotated[str, DERIVED] = ""
    file: Annotated[Path, DERIVED] = Path()
    all_hosts: Annotated[dict[HostName, Host], DERIVED] = {}
    build_root: Annotated[str, DERIVED] = ""
    own: Annotated[dict[HostName, Inventory], DERIVED] = {}
    warpbeam: Requirement | None = None
    extends: Extends = ()
    hosts_from: tuple[HostsFrom, ...] = ()
    source: Path | None = None
    release: AppName | None = None
    users: Users = Users()
    ssh: Ssh = Ssh()
    groups: dict[GroupName, Group] = {}
    http: ShortHttp = Http()
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
    codedeploy: CodeDeploy = CodeDeploy()

    def __post_init__(self) -> None:
        if not self.all_hosts:
            msgspec.structs.force_setattr(self, "all_hosts", self.hosts)

    def of(self, host: Host) -> Inventory:
        """Return the environment as it is for `host`: with the settings of its group and its own."""
        own = self.own.get(host.name)
        if own is None:
            return self
        return msgspec.structs.replace(
            own,
            hosts=self.hosts,
            all_hosts=self.all_hosts,
            name=self.name,
            file=self.file,
            build_root=self.build_root,
            own=self.own,
        )

    def group_column(self) -> dict[str, str]:
        """Return the group of each host, by its name, as rows show it; empty where the environment has no groups."""
        return {name: host.group or "" for name, host in self.all_hosts.items()} if self.groups else {}

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

    def migrate_hosts(self, hosts: Sequence[Host]) -> tuple[Host, ...]:
        """Return the ones of `hosts` where migrations run: for each expression that they have, one host that has it.

        It is the first with the role `migrate`, else the first.
        """
        having: dict[str, Host] = {}
        for host in hosts:
            expression = self.of(host).deploy.migrate
            if expression is not None:
                first = having.setdefault(expression, host)
                if "migrate" in host.roles and "migrate" not in first.roles:
                    having[expression] = host
        return tuple(having.values())

    @property
    def building(self) -> str:
        """Return the directory of the app's builds: this user's own (`--here`), else the one on the build host."""
        return self.build_root or str(self.root)

    def port(self, slot: Slot) -> int | None:
        """Return the port where the instance in `slot` serves HTTP; None where it does not."""
        return None if self.http.port is None else self.http.slots[SLOTS.index(slot)]

    def leads(self, slot: Slot) -> dict[int, int]:
        """Return the target of each public port while `slot` is live; the HTTP port comes first."""
        index = SLOTS.index(slot)
        http = {} if self.http.port is None else {self.http.port: self.http.slots[index]}
        return http | {port.public: port.slots[index] for port in self.ports.values()}

    def slot_ports(self) -> tuple[int, ...]:
        """Return every port that an instance serves: for HTTP in slots a and b, then for the further public ports."""
        http = () if self.http.port is None else self.http.slots
        return (*http, *(port for each in self.ports.values() for port in each.slots))

    def page_ports(self) -> tuple[int, ...]:
        """Return the port of the maintenance page; none where there is no HTTP."""
        return () if self.http.port is None else (self.http.maintenance,)

    def dist_port(self, slot: Slot) -> int:
        """Return the loopback port where the node in `slot` takes Erlang distribution."""
        return self.http.distribution[SLOTS.index(slot)]

    def unit(self, slot: Slot) -> str:
        """Return the systemd unit of the instance in `slot`."""
        return f"{self.app}@{slot}.service"
