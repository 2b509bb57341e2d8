"""The tools of a build host: which it has, which a source asks for, and their installation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from warpbeam.build.artifact import Toolchain
from warpbeam.build.asked import AskedTools
from warpbeam.host.answer import FEW, Label
from warpbeam.host.phase import Phase


class BuildTools(msgspec.Struct, frozen=True):
    """The answer of `AskToolchain`.

    `tools` is whose they are. `missing` are the versions that a build installs first, as `erlang 27.1`; then the
    toolchain has them already, as far as the source says them.
    """

    toolchain: Toolchain
    tools: Literal["asdf", "mise", "system"]
    missing: Annotated[tuple[Label, ...], FEW]


class AskToolchain(Phase[BuildTools], frozen=True, kw_only=True):
    """Ask the build host for its toolchain; refuses a mismatch with what the source asks for."""

    script: ClassVar[str] = "build/toolchain"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = BuildTools
    tools: str
    want_elixir: str
    want_erlang: str
    want_nodejs: str
    asked_in: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class Installed(msgspec.Struct, frozen=True):
    """The answer of `InstallTools`: what it installed."""

    tools: Annotated[tuple[Label, ...], FEW]


class InstallTools(Phase[Installed], frozen=True, kw_only=True):
    """Install, by asdf or mise, what the source asks for and the build host does not have."""

    script: ClassVar[str] = "build/install"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = Installed
    root: str
    variables: tuple[str, ...]
    tools: str
    want_elixir: str
    want_erlang: str
    want_nodejs: str


def ask_toolchain(tools: str, asked: AskedTools) -> AskToolchain:
    """Return the phase that asks a build host for `tools` (`build.tools`) in the versions of `asked`."""
    return AskToolchain(
        tools=tools,
        want_elixir=asked.elixir,
        want_erlang=asked.erlang,
        want_nodejs=asked.nodejs,
        asked_in=asked.files,
    )
