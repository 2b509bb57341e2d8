"""The keys for an instance: its ports, health, VM and variables; and which of them groups may set."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.firewall import PublicPort
from warpbeam.inventory.names import (
    AppPort,
    Batch,
    DirectiveName,
    DirectiveValue,
    Expression,
    NodePeer,
    Pause,
    Port,
    Seconds,
    UrlPath,
    VariableName,
    VariableValue,
)
from warpbeam.inventory.secret import Secrets

# The word `none` in place of a port.
PublicHttpPort = Annotated[Port | None, Meta(description="a port from 1 to 65535, or none", extra={"nothing": "none"})]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of an inventory, in which unknown keys are errors."""


class Http(Value, frozen=True):
    """Ports: clients connect to `port`; the instance of each slot listens on a port of its own.

    With the port None the app serves no HTTP: nothing leads to the ports of its slots, and there is no page.
    """

    port: PublicHttpPort = 80
    slots: tuple[AppPort, AppPort] = (4001, 4002)
    distribution: tuple[AppPort, AppPort] = (9001, 9002)
    maintenance: AppPort = 4003


# `http: none` is short for `http: {port: none}`.
ShortHttp = Annotated[Http, Meta(extra={"short": "port"})]


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


class Group(Value, frozen=True, kw_only=True):
    """Settings that a group has for its hosts, and a host for itself, in place of the environment's.

    What is not set here is as in the environment. `batch` and `migrate` are those of `deploy`.
    """

    env: dict[VariableName, VariableValue] = {}
    secrets: Secrets = {}
    http: ShortHttp | None = None
    ports: dict[VariableName, PublicPort] = {}
    health: Health | None = None
    vm: Vm | None = None
    service: dict[DirectiveName, DirectiveValue] = {}
    batch: Batch | None = None
    migrate: Expression | None = None
