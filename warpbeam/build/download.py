"""The download of an artifact from the build host, which is not trusted, into the store."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, ClassVar

from warpbeam.bound import Allowance, Breach, Complaints
from warpbeam.build.artifact import Artifact, Manifest
from warpbeam.build.content import violation
from warpbeam.build.release import Built
from warpbeam.build.tarball import difference
from warpbeam.error import Failed
from warpbeam.event import Emit, Progress
from warpbeam.host.login_output import Beginning
from warpbeam.host.phase import Phase
from warpbeam.host.script import READER, render
from warpbeam.shell import Shell
from warpbeam.store.store import Store


class Download(Phase[None], frozen=True, kw_only=True):
    """Send the tarball's bytes on standard output; there are no records."""

    script: ClassVar[str] = "build/download"
    parts: ClassVar[tuple[str, ...]] = ()
    tarball: str


def download(shell: Shell, built: Built, manifest: Manifest, store: Store, key: str, emit: Emit) -> Artifact:
    """Download what was built into the store, check it, and return it.

    The build host is not trusted: its manifest is checked against the rules, and the tarball against the manifest.

    Raises:
        Failed: the artifact is not what it may be or what was announced, or could not be downloaded; none is kept.
    """
    where = f"{shell.name}: " if shell.name else ""
    hint = "nothing of it is kept; look at what the app builds, and at the build host"
    if wrong := violation(built.files, built.directories):
        raise Failed(f"{where}the artifact holds what no release may hold: {wrong}", hint)
    store.check_room(built.size, shell.name)
    with store.incoming(key) as file:
        sha256 = _receive(shell, built, file, emit)
        # `keep` refuses another digest.
        if sha256 == built.sha256 and (wrong := difference(Path(file.name), built.files)):
            raise Failed(f"{where}the artifact is not what its manifest says: {wrong}", hint)
        return store.keep(key, manifest, sha256)


def _receive(shell: Shell, built: Built, file: BinaryIO, emit: Emit) -> str:
    """Write the tarball's bytes into `file`, no more than were announced; return their digest. Raises: Failed."""
    digest = hashlib.sha256()
    done = 0
    complaints = Complaints()
    announced = Allowance(built.size, "of an artifact that was announced to be no longer")

    def on_stdout(piece: bytes) -> None:
        nonlocal done
        announced.take(len(piece))
        file.write(piece)
        digest.update(piece)
        done += len(piece)
        emit(Progress(shell.name, "download", done, built.size))

    try:
        status = shell.execute(READER, [render(Download(tarball=built.tarball))], Beginning(on_stdout), complaints)
    except Breach as breach:
        hint = "nothing of it was kept; look at the build host, which is not to be trusted as it is"
        raise Failed(str(breach), hint, host=shell.name) from None
    if status != 0:
        said = tuple(complaints.text.splitlines())
        raise Failed(f"the artifact could not be downloaded (status {status})", "", said, host=shell.name)
    file.flush()
    return digest.hexdigest()
