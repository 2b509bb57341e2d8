"""The release that a build host makes of a source."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from warpbeam.build.artifact import Item
from warpbeam.host.answer import FILES, AbsolutePath, Count, Library, Sha256, Text, Version
from warpbeam.host.phase import Phase
from warpbeam.limit import LONGEST_RECORD


class Built(msgspec.Struct, frozen=True):
    """The answer of build.sh."""

    version: Version
    erts: Version
    libcrypto: Library
    tarball: AbsolutePath
    sha256: Sha256
    size: Count
    files: Annotated[tuple[Item, ...], FILES]
    directories: Annotated[tuple[Text, ...], FILES]
    names_node: bool


class MakeRelease(Phase[Built], frozen=True, kw_only=True):
    """Compile the source and assemble a release; the head of `warpbeam/build/build.sh` explains its fields."""

    script: ClassVar[str] = "build/build"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/tools")
    answer: ClassVar[type] = Built
    # The answer has an entry for each file of the release.
    longest: ClassVar[int] = 16 * LONGEST_RECORD
    root: str
    release: str
    named: bool
    mix_env: str
    strip: int
    carried: bool
    anew: bool
    keep: tuple[str, ...]
    with_tests: bool
    variables: tuple[str, ...]
    commit: str
    tree: str
    key: str
    tools: str
    want_elixir: str
    want_erlang: str
    elixir: str
    otp: str
    epmd: str
