"""The keys of an inventory that say how a release is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from warpbeam.inventory.container import SHORT, Container
from warpbeam.inventory.hex import Hex
from warpbeam.inventory.names import (
    Assets,
    IncludedPath,
    KeptPath,
    MixEnv,
    StorePlace,
    VariableName,
    VariableValue,
    WebAddress,
)
from warpbeam.inventory.secret import Secrets


class Sign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that signs releases: a private key, or a public one whose private half the ssh agent has."""

    key: Path


class Build(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings for making the release on the build host. With the flavor `auto`, the source decides.

    `keep` are paths of the source where files that git does not have stay from one build to the next. With `install`,
    setup installs on build hosts what asdf and mise need to build an Erlang, or podman for a `container`: the image
    that the build runs in (warpbeam/build/container.py). `include` are paths outside the source that come to the build
    host with it. `deploy_key` names one of the `secrets`: a private key with which git fetches dependencies; with
    `forward_agent`, git uses the keys of this machine's ssh agent instead. Those of the `secrets` that neither
    `deploy_key` nor `hex` names are variables of the asset step. `store` is the shared store of artifacts
    (warpbeam/store/place.py), `store_endpoint` the URL of an S3 server that is not Amazon's. `sign` names the key by
    which this machine signs what it builds.
    """

    flavor: Literal["auto", "mix", "distillery"] = "auto"
    mix_env: MixEnv = "prod"
    tools: Literal["auto", "asdf", "mise", "system"] = "auto"
    install: bool = False
    env: dict[VariableName, VariableValue] = {}
    keep: tuple[KeptPath, ...] = ("assets/node_modules", "apps/*/assets/node_modules")
    assets: Assets = "auto"
    include: tuple[IncludedPath, ...] = ()
    hex: Hex = msgspec.field(default_factory=Hex)
    secrets: Secrets = {}
    deploy_key: VariableName | None = None
    forward_agent: Annotated[bool, Meta(description="true or false")] = False
    container: Annotated[Container, SHORT] | None = None
    store: StorePlace | None = None
    store_endpoint: WebAddress | None = None
    sign: Sign | None = None
