"""The tools that a source asks for, as its `.tool-versions` and the files of mise have them."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import msgspec

from warpbeam.build.attributes import parents
from warpbeam.build.git import texts_of
from warpbeam.build.source import Source
from warpbeam.error import Misuse

TOOL_VERSIONS = ".tool-versions"
# The files of mise in one directory, the one that decides first: the order of mise 2026.9 itself (docs/toolchains.md).
MISE_FILES = (
    *(".mise.local.toml", "mise.local.toml", "mise/config.local.toml", ".mise/config.local.toml"),
    *(".config/mise.local.toml", ".config/mise/mise.local.toml", ".config/mise/config.local.toml"),
    *(".mise.toml", "mise.toml", "mise/config.toml", ".mise/config.toml"),
    *(".config/mise.toml", ".config/mise/mise.toml", ".config/mise/config.toml"),
)
# Editors of Windows put it at the beginning of a text; asdf and mise ignore it.
BYTE_ORDER_MARK = "\ufeff"
# The names of tools in these files, each with Warpbeam's own.
NAMES = {"elixir": "elixir", "erlang": "erlang", "nodejs": "nodejs", "node": "nodejs"}
# A version becomes the name of a directory and an argument of asdf or mise.
VERSION = re.compile(
    r"(?:(?:prefix|latest|ref|tag|branch|rev):)?[A-Za-z0-9][A-Za-z0-9._+~-]*|path:/[A-Za-z0-9._+~=/@-]+"
)


class AskedTools(msgspec.Struct, frozen=True):
    """The versions that a source asks for: of each tool one text, with spaces between versions of which any will do.

    Empty: it asks for none. `files` names the files that ask, for messages.
    """

    elixir: str = ""
    erlang: str = ""
    nodejs: str = ""
    files: str = TOOL_VERSIONS


def asked_tools(source: Source, tools: str = "auto") -> AskedTools:
    """Return the versions that the source asks for; `tools` is `build.tools`, and asdf does not read mise's files.

    As for asdf and mise, a tool that the source's own files do not name is looked up in the directories above the
    source. In one directory, mise's files come before `.tool-versions`.

    Raises:
        Misuse: a file of mise is no TOML, or a version is none that asdf or mise could have installed.
    """
    names = (TOOL_VERSIONS,) if tools == "asdf" else (*MISE_FILES, TOOL_VERSIONS)
    places = [f"{path}{name}" for path in (source.prefix, *parents(source.prefix)) for name in names]
    # Follow links as in a working tree: they often lead to another directory of the repository.
    texts = texts_of(source.top, [f"{source.whole}:{place}" for place in places], "--follow-symlinks")
    asked: dict[str, str] = {}
    files: list[str] = []
    for place, text in zip(places, texts, strict=True):
        if text is None:
            continue
        plain = text.removeprefix(BYTE_ORDER_MARK)
        found = _of_toml(place, plain) if place.endswith(".toml") else _of_tool_versions(plain)
        for tool, versions in found.items():
            if versions and tool not in asked:
                asked[tool] = " ".join(_checked(place, tool, version) for version in versions)
                files.append(place.removeprefix(source.prefix))
    return AskedTools(**asked, files=" and ".join(dict.fromkeys(files)) or TOOL_VERSIONS)


def _of_tool_versions(text: str) -> dict[str, list[str]]:
    """Return the versions of a `.tool-versions`; where a tool has two lines, the last one counts."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        tool, *versions = line.partition("#")[0].split() or [""]
        if versions and tool in NAMES:
            found[NAMES[tool]] = versions
    return found


def _of_toml(place: str, text: str) -> dict[str, list[str]]:
    """Return the versions under `[tools]` of a file of mise; the rest of the file is mise's own."""
    try:
        tools = tomllib.loads(text).get("tools", {})
    except tomllib.TOMLDecodeError as error:
        raise Misuse(f"{place} of the source is no TOML: {error}", "mise does not read it either") from None
    named = tools if isinstance(tools, dict) else {}
    known = {tool: value for name, value in named.items() if (tool := NAMES.get(name.removeprefix("core:")))}
    return {tool: _versions(place, tool, value) for tool, value in known.items()}


def _versions(place: str, tool: str, value: Any) -> list[str]:
    """Return the versions of one tool: a text, a table with a `version`, or a list of these.

    Raises: Misuse, where one is a number: 1.10 would be 1.1.
    """
    match value:
        case list():
            return [version for each in value for version in _versions(place, tool, each)]
        case {"version": version}:
            return _versions(place, tool, version)
        case str():
            return [value]
        case int() | float():
            raise Misuse(
                f"{place} of the source has a version of {tool} without quotes, which mise does not read either",
                f'write it in quotes, such as {tool} = "1.10"',
            )
    return []


def _checked(place: str, tool: str, version: str) -> str:
    """Return `version`. Raises: Misuse, where no installation could have that name."""
    if not VERSION.fullmatch(version) or ".." in version:
        raise Misuse(
            f"{place} of the source asks for the version {version!r} of {tool}; expected one such as 1.17.3",
            "Warpbeam reads versions, their beginnings, latest, system, prefix:, ref: and path:, and no templates",
        )
    return version
