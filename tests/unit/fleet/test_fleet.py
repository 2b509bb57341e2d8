"""Work on many hosts at once: their number, their order, and the memory that it takes."""

from __future__ import annotations

import hashlib
import random
import tarfile
import threading
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from warpbeam.build.artifact import Artifact, Item, Manifest, Toolchain
from warpbeam.deploy.fitting import to_all
from warpbeam.deploy.upload import Uploader
from warpbeam.error import FAILED, Failed, Misuse, Problem, Refused
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.shells import Identity
from warpbeam.fleet.work import gravest_problem
from warpbeam.host.facts import about
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.shell import OnBytes, Shell

# Longer than any of these tests takes on a busy machine; a test that succeeds does not wait for it.
LONG = 60.0
MB = 1 << 20


def fleet_of(count: int, kind: type[Fleet] = Fleet) -> tuple[Fleet, list[Host]]:
    hosts = {f"web{number}": Host(name=f"web{number}") for number in range(1, count + 1)}
    return kind(Inventory(name="e", file=Path("e.yml"), org="o", app="a", hosts=hosts, all_hosts=hosts)), [
        *hosts.values()
    ]


def test_no_more_hosts_than_jobs_are_worked_on_at_once_and_no_fewer() -> None:
    fleet, hosts = fleet_of(9)
    fleet.set_jobs("3")
    meeting = threading.Barrier(3)
    guard, now, most = threading.Lock(), 0, 0

    def work(host: Host) -> str:
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        # Each thread waits until three are here: with fewer threads the barrier would break.
        meeting.wait(LONG)
        with guard:
            now -= 1
        return host.name

    assert fleet.everywhere(hosts, work) == {host.name: host.name for host in hosts}
    assert most == 3


@pytest.mark.parametrize("order", [(Refused, Failed), (Failed, Refused)])
def test_the_exit_code_does_not_depend_on_the_order_of_hosts(order: tuple[type[Problem], ...]) -> None:
    problems = {f"web{number}": kind(kind.__name__) for number, kind in enumerate(order)}

    worst = gravest_problem({"web9": None, **problems})

    assert worst is not None
    assert (worst.code, worst.message) == (FAILED, "Failed")


def test_of_equally_grave_problems_the_first_hosts_is_reported() -> None:
    assert str(gravest_problem({"a": None, "b": Refused("first"), "c": Refused("second")})) == "first"
    assert gravest_problem({"a": None}) is None


def test_a_slow_host_holds_up_nobody_else() -> None:
    fleet, hosts = fleet_of(20)
    fleet.set_jobs("2")
    others = threading.Semaphore(0)

    def work(host: Host) -> None:
        if host.name != "web1":
            others.release()
            return
        for _ in range(19):
            assert others.acquire(timeout=LONG), "the others waited for the slow one"

    assert list(fleet.everywhere(hosts, work)) == [host.name for host in hosts]


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1001", "1.5", "²"])
def test_jobs_is_a_number(jobs: str) -> None:
    fleet, _ = fleet_of(1)

    with pytest.raises(Misuse, match="is no number from 1 to 1000"):
        fleet.set_jobs(jobs)


class Sink:
    """A host that reads an upload piece by piece, discards it, and answers that it is complete."""

    def __init__(self, name: str, begun: threading.Barrier) -> None:
        self.name = name
        self.busy = False
        self.digest = hashlib.sha256()
        self.size = 0
        self._begun = begun

    def open(self) -> None:
        """Do nothing: it is open."""

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        for number, chunk in enumerate(chunks):
            if number == 0:
                continue  # the script
            if number == 1:
                # Wait until all hosts are in the middle of their uploads.
                self._begun.wait(LONG)
            self.digest.update(chunk)
            self.size += len(chunk)
        on_stdout(b'\x1e{"answer":{"files":1}}\n')
        return 0

    def interrupt(self) -> None:
        """Do nothing: no test interrupts it."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class Sinks(Fleet):
    """A fleet whose hosts are Sinks."""

    def __init__(self, inventory: Inventory, sudo_password: str = "") -> None:
        super().__init__(inventory, sudo_password)
        begun = threading.Barrier(len(inventory.hosts))
        self.sinks = {name: Sink(name, begun) for name in inventory.hosts}
        self.jobs = len(self.sinks)

    def _connect(self, host: Host, identity: Identity) -> Shell:
        return self.sinks[host.name]


def an_artifact(directory: Path, sizes: tuple[int, ...]) -> Artifact:
    """Return an artifact whose files do not compress."""
    tarball = directory / "artifact.tar.gz"
    chance = random.Random(1)
    items = []
    # In the format of a build.
    with tarfile.open(tarball, "w:gz", format=tarfile.GNU_FORMAT, compresslevel=1) as tar:
        for number, size in enumerate(sizes):
            file = directory / f"file{number}"
            file.write_bytes(chance.randbytes(size))
            file.chmod(0o644)
            tar.add(file, arcname=file.name)
            items.append(Item(file.name, "644", size, hashlib.sha256(file.read_bytes()).hexdigest()))
    manifest = Manifest(
        app="a",
        release="a",
        version="1",
        commit="c" * 40,
        subject="s",
        tree="t",
        dirty=False,
        flavor="mix",
        mix_env="prod",
        toolchain=Toolchain("1", "1", "x86_64", "glibc 2.36", "Debian"),
        erts="1",
        libcrypto="",
        sha256="",
        size=tarball.stat().st_size,
        files=tuple(items),
    )
    return Artifact(tarball, manifest)


def upload(uploader: Uploader, fleet: Fleet, host: Host, lacks: tuple[int, ...]) -> None:
    described = about(uploader.artifacts.of(host.name))
    uploader.upload(fleet, host, "token", "release", described, "base", lacks, lambda event: None)


@pytest.mark.parametrize("lacks", [(0, 1, 2), (1, 2)], ids=["the whole", "a part"])
def test_memory_of_an_upload_does_not_grow_with_the_artifact_or_the_hosts(
    tmp_path: Path, lacks: tuple[int, ...]
) -> None:
    artifact = an_artifact(tmp_path, (MB, 16 * MB, 8 * MB))
    fleet, hosts = fleet_of(20, Sinks)
    assert isinstance(fleet, Sinks)

    tracemalloc.start()
    try:
        with Uploader(to_all(artifact, [host.name for host in hosts]), {}) as uploader:
            fleet.everywhere(hosts, lambda host: upload(uploader, fleet, host, lacks))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Copies of the artifact for 20 hosts would take 480 MB, one copy 24 MB. One piece for each host takes 5 MB.
    assert peak < 16 * MB, f"{peak / MB:.1f} MB"
    assert all(sink.size > 23 * MB for sink in fleet.sinks.values())
    # All hosts got the same bytes. gzip writes its time, so streams that were compressed separately would differ.
    assert len({sink.digest.digest() for sink in fleet.sinks.values()}) == 1


def test_what_several_hosts_lack_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = an_artifact(tmp_path, (1000, 2000, 3000))
    fleet, hosts = fleet_of(8, Sinks)
    packed: list[set[str]] = []
    pack = Uploader._pack

    def counted(self: Uploader, which: Artifact, wanted: set[str]) -> Path:
        packed.append(wanted)
        return pack(self, which, wanted)

    monkeypatch.setattr(Uploader, "_pack", counted)
    with Uploader(to_all(artifact, [host.name for host in hosts]), {}) as uploader:
        fleet.everywhere(hosts, lambda host: upload(uploader, fleet, host, (1,)))

    assert packed == [{"file1"}]
