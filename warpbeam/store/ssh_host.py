"""The shared store that is a directory of a host, over Warpbeam's own ssh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from warpbeam.bound import Breach, Complaints
from warpbeam.error import Failed, Problem, Refused, restated
from warpbeam.event import silent
from warpbeam.host.answer import MANY, Count, EpochSeconds
from warpbeam.host.login_output import Beginning, not_begun
from warpbeam.host.phase import Done, Phase
from warpbeam.host.run import run
from warpbeam.host.script import READER, render
from warpbeam.shell import Shell
from warpbeam.store.shared import NAME, PIECE, Absent, OnSent, Sink, StoredFile, StoredName, Unavailable, too_long

PARTS = ("host/common", "store/enter")
# Exit statuses of read.sh.
NO_DIRECTORY, NO_FILE = 44, 45


class HostFile(msgspec.Struct, frozen=True):
    """A file of the store, as its host answers."""

    name: StoredName
    size: Count
    changed: EpochSeconds


class HostFiles(msgspec.Struct, frozen=True):
    """The answer of list.sh."""

    files: Annotated[tuple[HostFile, ...], MANY]


class ListStore(Phase[HostFiles], frozen=True, kw_only=True):
    """List the files of a store; the head of `warpbeam/store/list.sh` explains the fields."""

    script: ClassVar[str] = "store/list"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = HostFiles
    directory: str
    subdirectory: str

    @property
    def looks(self) -> bool:
        """See `Phase.looks`."""
        return True


class ReadStore(Phase[None], frozen=True, kw_only=True):
    """Send a file's bytes on standard output; there are no records."""

    script: ClassVar[str] = "store/read"
    parts: ClassVar[tuple[str, ...]] = ()
    directory: str
    subdirectory: str
    name: str


class WriteStore(Phase[Done], frozen=True, kw_only=True):
    """Write a file from the body; the head of `warpbeam/store/write.sh` explains the fields."""

    script: ClassVar[str] = "store/write"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Done
    directory: str
    subdirectory: str
    name: str
    size: int


class RemoveStored(Phase[Done], frozen=True, kw_only=True):
    """Remove files; the head of `warpbeam/store/remove.sh` explains the fields."""

    script: ClassVar[str] = "store/remove"
    parts: ClassVar[tuple[str, ...]] = PARTS
    answer: ClassVar[type] = Done
    directory: str
    subdirectory: str
    names: tuple[str, ...]


class SshHost:
    """A `warpbeam.store.shared.SharedStore` in `directory`/`app` of the host of `shell`.

    Parameters:
        label: the store's URL, for messages.
        directory: an absolute path there, or one that begins with ~/.
        seconds: the time limit of a question to the host.
    """

    def __init__(self, label: str, shell: Shell, directory: str, app: str, seconds: float) -> None:
        self.label = label
        self._shell = shell
        self._seconds = seconds
        self._place = {"directory": directory, "subdirectory": app}

    def files(self) -> dict[str, StoredFile]:
        """See `SharedStore.files`."""
        found: HostFiles = self._run(ListStore(**self._place), seconds=self._seconds)
        return {file.name: StoredFile(file.size, file.changed) for file in found.files if NAME.fullmatch(file.name)}

    def read(self, name: str, most: int, sink: Sink) -> None:
        """See `SharedStore.read`."""
        complaints = Complaints()
        left = most

        def on_stdout(piece: bytes) -> None:
            nonlocal left
            left -= len(piece)
            if left < 0:
                raise too_long(self, name, most)
            sink(piece)

        phase, beginning = ReadStore(**self._place, name=name), Beginning(on_stdout)
        try:
            status = self._shell.execute(READER, [render(phase)], beginning, complaints)
        except Refused as refused:
            if left < 0:
                raise
            raise self._unavailable(refused) from None
        except Breach as breach:
            raise Failed(str(breach), f"look at the host of the store {self.label}", host=self._shell.name) from None
        if not beginning.found:
            raise self._unavailable(not_begun(self._shell, status, beginning.noise(b"")))
        if status == NO_FILE:
            raise Absent(f"the store {self.label} has no {name}")
        if status == NO_DIRECTORY:
            raise Unavailable(f"the store {self.label} is no directory there", "make it, or mount it")
        if status != 0:
            said = tuple(complaints.text.splitlines()[-10:])
            raise Failed(f"{name} in the store {self.label} could not be read (status {status})", "", said)

    def write(self, name: str, content: Path, on_sent: OnSent) -> None:
        """See `SharedStore.write`."""
        self._run(WriteStore(**self._place, name=name, size=content.stat().st_size), _pieces(content, on_sent))

    def remove(self, names: list[str]) -> None:
        """See `SharedStore.remove`."""
        self._run(RemoveStored(**self._place, names=tuple(names)))

    def _run(self, phase: Phase[Any], body: Iterator[bytes] | tuple[()] = (), seconds: float | None = None) -> Any:
        try:
            return run(self._shell, phase, silent, body, seconds=seconds)
        except Refused as refused:
            raise self._unavailable(refused) from None

    def _unavailable(self, problem: Problem) -> Unavailable:
        """Return a host's problem as one of the store."""
        return restated(problem, Unavailable, f" (the store {self.label})")


def _pieces(content: Path, on_sent: OnSent) -> Iterator[bytes]:
    with content.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
            on_sent(len(piece))
