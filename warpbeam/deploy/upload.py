"""The upload of a release to a host: only the files that it lacks, compressed once for all hosts that lack the same."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import ClassVar

import msgspec

from warpbeam.build.artifact import PIECE, Artifact
from warpbeam.build.digest import file_lines, kind_of, links_of
from warpbeam.build.tarball import Unlike, pick
from warpbeam.deploy.fitting import Artifacts
from warpbeam.deploy.history import HistoryWriter, note_failures
from warpbeam.deploy.lock import PARTS, Claim, LockedPhase, locked_parameters
from warpbeam.deploy.plan import HostPlan
from warpbeam.error import Damaged, Failed, Problem, restated
from warpbeam.event import Emit, Progress, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import suspects_file
from warpbeam.host.answer import Count
from warpbeam.host.facts import About, HostFacts
from warpbeam.inventory.schema import Host


class Uploaded(msgspec.Struct, frozen=True):
    """The answer of an upload: how many files the release has; every one was verified."""

    files: Count


class Upload(LockedPhase[Uploaded], frozen=True, kw_only=True):
    """Make a complete release; the head of `warpbeam/deploy/upload.sh` explains its fields."""

    script: ClassVar[str] = "deploy/upload"
    parts: ClassVar[tuple[str, ...]] = (*PARTS, "deploy/suspect")
    answer: ClassVar[type] = Uploaded
    release: str
    base: str
    artifact: str
    group: str
    runtime: str
    links: tuple[str, ...]
    directories: tuple[str, ...]
    suspects: str
    signature: str


def check_lacks(host: str, facts: HostFacts, files: int) -> None:
    """Check that what a host lacks are ascending numbers below `files`. Raises: Failed, where they are not."""
    if any(index >= after for index, after in pairwise((*facts.lacks, files))):
        raise Failed(
            f"claim answered what this Warpbeam does not understand: $.lacks: expected numbers below {files}, "
            "each greater than the one before",
            "nothing of it was used; look at what lies on that host, and who may write it",
            host=host,
        )


class Uploader:
    """The upload of artifacts to many hosts. As a context manager it removes its temporary files at the end.

    Parameters:
        signatures: the text of each artifact's signature, by the digest of its tarball; empty where there is none.
    """

    def __init__(self, artifacts: Artifacts, signatures: Mapping[str, str]) -> None:
        self.artifacts = artifacts
        self.signatures = signatures
        self._manifests = {each.manifest.sha256: file_lines(each) for each in artifacts.each}
        self._streams: dict[tuple[str, tuple[int, ...]], Path] = {}
        self._guard = Lock()
        self._scratch = ExitStack()

    def __enter__(self) -> Uploader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._scratch.close()

    def claim(self, fleet: Fleet, host: Host, phase: Claim, emit: Emit) -> HostFacts:
        """Run `phase` with the manifest of the host's artifact; compress what it lacks while others are still asked.

        Raises: Failed, where the host lacks files that there are not; what `fleet.run` raises.
        """
        artifact = self.artifacts.of(host.name)
        facts = fleet.run(host, phase, emit, (self._manifests[artifact.manifest.sha256],))
        check_lacks(host.name, facts, len(artifact.files))
        if facts.lacks:
            self._stream(artifact, facts.lacks)
        return facts

    def upload(
        self,
        fleet: Fleet,
        host: Host,
        token: str,
        release: str,
        about: About,
        base: str,
        lacks: tuple[int, ...],
        emit: Emit,
    ) -> Uploaded:
        """Make `release` complete on `host`, which has all but `lacks` in its release `base`, and will keep `about`.

        Where files of `base` turn out to be damaged or missing there, everything is sent.

        Raises what `phase.run` raises; nothing of a failed upload stays.
        """
        inventory, ours = fleet.inventory, self.artifacts.of(host.name)
        phase = Upload(
            **locked_parameters(inventory, token),
            release=release,
            base=base,
            artifact=msgspec.json.encode(about).decode(),
            group=inventory.app_user,
            runtime=kind_of(ours),
            links=links_of(ours),
            directories=ours.manifest.directories,
            suspects=suspects_file(inventory),
            signature=self.signatures.get(ours.manifest.sha256, ""),
        )
        try:
            return fleet.run(host, phase, emit, _pieces(self._stream(ours, lacks), host.name, emit))
        except Damaged as damaged:
            if not base:
                raise
            found = "; ".join(damaged.details) or damaged.reason
            emit(Warn(host.name, f"{base} is not as it was deployed, so everything is sent: {found}"))
        whole = msgspec.structs.replace(phase, base="")
        return fleet.run(host, whole, emit, _pieces(ours.tarball, host.name, emit))

    def _stream(self, artifact: Artifact, lacks: tuple[int, ...]) -> Path:
        """Return a gzip'd tar file of what a host lacks of `artifact`; its own tarball when that is everything."""
        files = artifact.files
        if len(lacks) == len(files):
            return artifact.tarball
        with self._guard:
            key = (artifact.manifest.sha256, lacks)
            if key not in self._streams:
                self._streams[key] = self._pack(artifact, {files[index].path for index in lacks})
            return self._streams[key]

    def _pack(self, artifact: Artifact, wanted: set[str]) -> Path:
        scratch = Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="warpbeam-")))
        # Links weigh nothing, so all of them go.
        left = wanted | {item.path for item in artifact.manifest.files if item.link}
        packed = scratch / "delta.tar.gz"
        try:
            pick(artifact.tarball, artifact.manifest.files, left, packed)
        except Unlike as unlike:
            what = f"the artifact that is kept on this machine is not what its manifest says: {unlike}"
            raise Failed(what, f"remove {artifact.tarball} and run the same command again: it is built anew") from None
        return packed


def _pieces(file: Path, host: str, emit: Emit) -> Iterator[bytes]:
    total = file.stat().st_size
    done = 0
    # Emit the total at once, so that the sum of all hosts is known before the slowest has begun.
    emit(Progress(host, "upload", done, total))
    with file.open("rb") as opened:
        # Read no more than the total, even if the file grows meanwhile.
        while piece := opened.read(min(PIECE, total - done)):
            yield piece
            done += len(piece)
            emit(Progress(host, "upload", done, total))


def upload_releases(fleet: Fleet, uploader: Uploader, writer: HistoryWriter, emit: Emit) -> None:
    """Upload the release to every host of the plan that lacks it; note a failure in that host's history.

    Raises: Failed; nothing was switched on any host.
    """
    steps = {step.host.name: step for step in writer.plan.hosts if step.upload}
    hosts = [step.host for step in steps.values()]
    results = fleet.everywhere(hosts, lambda host: _upload_release(fleet, uploader, steps[host.name], writer, emit))
    problems = {name: result for name, result in results.items() if isinstance(result, Problem)}
    if not problems:
        return
    note_failures(fleet, writer, steps, problems, emit)
    raise restated(next(iter(problems.values())), Failed, "; nothing was switched on any host")


def _upload_release(fleet: Fleet, uploader: Uploader, step: HostPlan, writer: HistoryWriter, emit: Emit) -> Uploaded:
    facts = writer.lease.facts[step.host.name]
    token = writer.lease.token
    return uploader.upload(fleet, step.host, token, step.release, step.about, facts.base, facts.lacks, emit)
