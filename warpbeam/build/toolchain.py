"""The tools of a build host, and the versions of them that a source asks for."""

from __future__ import annotations

from typing import ClassVar

from warpbeam.build.artifact import Toolchain
from warpbeam.build.source import Source, read_above
from warpbeam.host.phase import Phase


class AskToolchain(Phase[Toolchain], frozen=True, kw_only=True):
    """Ask the build host for its toolchain; refuses a mismatch with .tool-versions."""

    script: ClassVar[str] = "build/toolchain"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = Toolchain
    tools: str
    want_elixir: str
    want_erlang: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


def asked_tools(source: Source) -> tuple[str, str]:
    """Return the Elixir and Erlang versions that .tool-versions asks for; empty where it asks for none.

    Each text holds versions with spaces between, any of which will do. As for asdf and mise, a tool that the source's
    own file does not name is looked up in the directories above the source.
    """
    wanted = {"elixir": "", "erlang": ""}
    for text in read_above(source, ".tool-versions"):
        here: dict[str, str] = {}
        for line in text.splitlines():
            tool, *versions = line.partition("#")[0].split() or [""]
            if versions and tool in wanted:
                here[tool] = " ".join(versions)
        wanted = {tool: wanted[tool] or here.get(tool, "") for tool in wanted}
    return wanted["elixir"], wanted["erlang"]
