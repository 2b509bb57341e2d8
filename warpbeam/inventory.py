"""An environment: an app and the hosts that it runs on, as one YAML file of `inventory/` says.

`inventory/example.yml` explains every key; a test holds it against these types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Role = Literal["app", "build", "migrate"]
Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")

# A name that is at once a path component, a systemd unit name, a user name and a release name (`systemd.unit(5)`,
# `useradd(8)`, Mix's rule for release names). No dash: an Elixir app and its release are named like an atom.
AppName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
OrgName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
UserName = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,30}$")]
# A host's inventory name, also typed after -H, shown in tables and looked up in ~/.ssh/config.
HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]
Port = Annotated[int, Meta(ge=1, le=65535)]
# What systemd accepts as the name of an environment variable (`systemd.exec(5)`, EnvironmentFile=).
VariableName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Meta(gt=0, le=86400)]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an inventory: unknown keys are errors."""


class Host(Value, frozen=True):
    """One machine. `name` is its key under `hosts:`."""

    name: HostName = ""
    address: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:%-]*$")] | None = None
    port: Port | None = None
    roles: tuple[Role, ...] = ("app",)


class Users(Value, frozen=True):
    """The three identities of a host. `admin: null` is whoever ssh logs in as by its own configuration."""

    admin: UserName | None = None
    deploy: UserName = "deploy"
    app: UserName | None = None


class Ssh(Value, frozen=True):
    """How to reach the hosts, beyond what ~/.ssh/config says. Paths are relative to the inventory file."""

    config: Path | None = None
    known_hosts: Path | None = None
    identities: tuple[Path, ...] = ()
    connect_timeout: Seconds = 10


class Http(Value, frozen=True):
    """Ports: `port` is what the world calls; each slot's instance listens on its own."""

    port: Port = 80
    slots: tuple[Port, Port] = (4001, 4002)
    distribution: tuple[Port, Port] = (9001, 9002)


class Health(Value, frozen=True):
    """When an instance counts as healthy: `path` on the slot's own port answers `status`."""

    path: Annotated[str, Meta(pattern=r"^/[!-~]*$")] = "/health"
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    interval: Seconds = 0.2
    timeout: Seconds = 5
    deadline: Seconds = 60


class Deploy(Value, frozen=True):
    """How releases replace each other. `drain` is how long the old instance may take to stop, in seconds."""

    strategy: Literal["restart"] = "restart"
    keep: Annotated[int, Meta(ge=2, le=100)] = 5
    drain: Seconds = 30
    migrate: str | None = None


class Build(Value, frozen=True):
    """How the release is made on the build host."""

    flavor: Literal["mix"] = "mix"
    mix_env: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")] = "prod"
    tools: Literal["auto", "asdf", "mise", "system"] = "auto"
    env: dict[VariableName, str] = {}


class Secret(Value, frozen=True):
    """Where a secret's value is found, on this machine: exactly one of the three.

    `env` is a variable of this machine's environment; `command` is run and prints it (one line end at the
    end is not part of the value); `file` holds it, byte for byte, relative to the inventory file.
    """

    env: VariableName | None = None
    command: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("env", "command", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("expected exactly one of `env`, `command`, `file`")


class Inventory(Value, frozen=True):
    """One environment. `name` and `file` come from where it was read."""

    org: OrgName
    app: AppName
    hosts: dict[HostName, Host]
    name: str = ""
    file: Path = Path()
    source: Path | None = None
    release: AppName | None = None
    users: Users = Users()
    ssh: Ssh = Ssh()
    http: Http = Http()
    health: Health = Health()
    deploy: Deploy = Deploy()
    build: Build = Build()
    env: dict[VariableName, str] = {}
    secrets: dict[VariableName, Secret] = {}
    deploy_keys: tuple[str, ...] = ()
