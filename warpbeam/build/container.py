"""The container that a build runs in: a shell in front of the build host's own, which runs each script inside.

So no script of a build knows of containers. An image has a directory of its own on the build host, with its caches:
nothing that another image made is ever used.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from warpbeam.error import Lost, Problem
from warpbeam.event import Emit
from warpbeam.host.answer import Version, Word
from warpbeam.host.phase import Phase
from warpbeam.host.run import run
from warpbeam.host.script import READER, render
from warpbeam.inventory.container import Container
from warpbeam.inventory.schema import Inventory
from warpbeam.shell import OnBytes, Shell

# This many digits of an image's digest name its directory.
SHORT_DIGEST = 16


class FoundImage(msgspec.Struct, frozen=True):
    """The answer of `FindImage`: the image, by the digest of its configuration, which has that of each layer."""

    engine: Literal["podman", "docker"]
    version: Version
    digest: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="the digest of an image")]
    rootless: bool
    runtime: Word

    @property
    def short(self) -> str:
        """The beginning of the digest, as engines show it."""
        return self.digest[:12]


class FindImage(Phase[FoundImage], frozen=True, kw_only=True):
    """Find the image of a build on the host, and pull it where that is asked for."""

    script: ClassVar[str] = "build/image"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/engine")
    answer: ClassVar[type] = FoundImage
    engine: str
    image: str
    pull: str


class Enter(Phase[None], frozen=True, kw_only=True):
    """Run the script that follows this one in a container; the head of `container.sh` explains the fields."""

    script: ClassVar[str] = "build/container"
    parts: ClassVar[tuple[str, ...]] = ("host/common", "build/engine")
    answer: ClassVar[None] = None
    root: str
    own: str
    engine: str
    image: str
    digest: str
    name: str
    exclusive: bool
    rootless: bool
    runtime: str
    options: tuple[str, ...]
    reader: str


class ContainerShell:
    """A `warpbeam.shell.Shell` whose commands run in a container on the machine of another shell."""

    def __init__(self, outer: Shell, enter: Enter) -> None:
        self._outer = outer
        self._enter = enter

    @property
    def name(self) -> str:
        """See `warpbeam.shell.Shell`: the name of the machine."""
        return self._outer.name

    @property
    def busy(self) -> bool:
        """See `warpbeam.shell.Shell.busy`."""
        return self._outer.busy

    def open(self) -> None:
        """See `warpbeam.shell.Shell.open`."""
        self._outer.open()

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        """See `warpbeam.shell.Shell.execute`; `command` runs in a container of its own."""
        enter = render(msgspec.structs.replace(self._enter, reader=command))
        return self._outer.execute(READER, _after(enter, chunks), on_stdout, on_stderr)

    def interrupt(self) -> None:
        """See `warpbeam.shell.Shell.interrupt`: the script outside ends the container."""
        self._outer.interrupt()

    def close(self) -> None:
        """See `warpbeam.shell.Shell.close`."""
        self._outer.close()


def _after(first: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `first` and the chunks. The first chunk is asked for before anything is sent: that may raise."""
    rest = iter(chunks)
    yield first + next(rest, b"")
    yield from rest


def find_image(
    shell: Shell, container: Container, emit: Emit, *, pull: str | None = None, seconds: float | None = None
) -> FoundImage:
    """Return the image of `container` on the host of `shell`; pull it where that is asked for.

    Parameters:
        pull: in place of the container's own word.
        seconds: the time for the answer; None: no limit.

    Raises:
        Refused: there is no engine, or it cannot run; there is no such image, or it cannot be pulled.
    """
    phase = FindImage(engine=container.engine, image=container.image, pull=pull or container.pull)
    return run(shell, phase, emit, seconds=seconds)


def root_of(inventory: Inventory, found: FoundImage | None) -> str:
    """Return the directory of the builds on the build host: that of the image, where they run in a container."""
    return inventory.building if found is None else f"{inventory.building}/build/images/{found.digest[:SHORT_DIGEST]}"


@contextmanager
def inside(shell: Shell, inventory: Inventory, found: FoundImage | None, build: str = "") -> Iterator[Shell]:
    """Yield the shell that runs a build's scripts: in a container of the image `found`, or `shell` itself.

    A problem of a script that ran in a container says so.

    Parameters:
        build: the key of the artifact that is built, while no other build may run; empty for a question.
    """
    container = inventory.build.container
    if container is None or found is None:
        yield shell
        return
    enter = Enter(
        root=inventory.building,
        own=root_of(inventory, found),
        engine=found.engine,
        image=container.image,
        digest=found.digest,
        name=f"warpbeam-{inventory.org}-{inventory.app}-{build or 'question'}-{secrets.token_hex(4)}",
        exclusive=bool(build),
        rootless=found.rootless,
        runtime=found.runtime,
        options=container.options,
        reader=READER,
    )
    try:
        yield ContainerShell(shell, enter)
    except Lost:
        raise
    except Problem as problem:
        if container.image in problem.reason:
            raise
        raise problem.hinted(f"the build runs in the image {container.image} ({found.engine})") from None
