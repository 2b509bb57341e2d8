"""The artifact that a person names: a key, here or in the store, or a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.unit.deploy.test_fitting import BOTH, BUILT_NEW, BUILT_OLD, fleet_of
from tests.unit.store.test_shared_stores import APP, INVENTORY, KEY, keep, manifest
from warpbeam.build.artifact import Artifact
from warpbeam.build.signature import Trust
from warpbeam.deploy import lock, named_artifact
from warpbeam.deploy.named_artifact import (
    check_artifacts_alone,
    chosen_artifact,
    chosen_artifacts,
    chosen_manifest,
    split_names,
)
from warpbeam.error import Misuse, Refused
from warpbeam.event import silent
from warpbeam.fleet.selection import HostSelection
from warpbeam.inventory.schema import Host
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.transfer import push

TRUST = Trust("acme", "hello")


@pytest.fixture
def here(tmp_path: Path) -> DirectoryStore:
    """This machine's store."""
    return DirectoryStore(tmp_path / "here")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with the two files of an artifact."""
    keep(DirectoryStore(tmp_path / "files"), KEY)
    return tmp_path / "files"


def test_a_key_is_looked_up_here_and_then_in_the_store(tmp_path: Path, here: DirectoryStore) -> None:
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    with pytest.raises(Refused, match=f"no artifact {KEY}: this machine does not have it, and the inventory names no"):
        chosen_artifact(KEY, INVENTORY, here, None, silent)
    with pytest.raises(Refused, match=r"and the store .*store does not have it"):
        chosen_artifact(KEY, INVENTORY, here, shared, silent)
    other = DirectoryStore(tmp_path / "other")
    made = keep(other, KEY)
    push(KEY, other, shared, TRUST, silent)

    assert chosen_artifact(KEY, INVENTORY, here, shared, silent).manifest == made
    shutil.rmtree(tmp_path / "store")
    assert chosen_artifact(KEY, INVENTORY, here, shared, silent).manifest == made


def test_a_plan_reads_the_manifest_alone(tmp_path: Path, here: DirectoryStore, files: Path) -> None:
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    with pytest.raises(Refused, match=r"and the store .*store does not have it"):
        chosen_manifest(KEY, INVENTORY, here, shared)
    other = DirectoryStore(tmp_path / "other")
    made = keep(other, KEY)
    push(KEY, other, shared, TRUST, silent)

    assert chosen_manifest(KEY, INVENTORY, here, shared) == made
    assert chosen_manifest(str(files / f"{KEY}.tar.gz"), INVENTORY, here, None) == made
    assert not here.directory.exists()
    assert chosen_manifest(KEY, INVENTORY, other, None) == made


@pytest.mark.parametrize("others", [("main", False), ("", True)])
def test_an_artifact_and_a_commit_are_two_different_things(others: tuple[str, bool]) -> None:
    check_artifacts_alone((), *others)
    check_artifacts_alone((KEY,), "", False)
    with pytest.raises(Misuse, match="say two different things"):
        check_artifacts_alone((KEY,), *others)
    with pytest.raises(Misuse, match="expected a key or the path of a file"):
        check_artifacts_alone(("",))


def test_what_was_changed_here_is_taken_from_the_store(tmp_path: Path, here: DirectoryStore) -> None:
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    keep(here, KEY)
    push(KEY, here, shared, TRUST, silent)
    file = here.directory / f"{KEY}.tar.gz"
    file.write_bytes(b"x" * file.stat().st_size)

    with pytest.raises(Refused, match="it was changed on this machine"):
        chosen_artifact(KEY, INVENTORY, here, None, silent)
    assert chosen_artifact(KEY, INVENTORY, here, shared, silent).is_unchanged()


@pytest.mark.parametrize("name", [f"{KEY}.json", f"{KEY}.tar.gz"])
def test_a_file_is_named_by_its_manifest_or_its_tarball(name: str, files: Path, here: DirectoryStore) -> None:
    found = chosen_artifact(str(files / name), INVENTORY, here, None, silent)

    assert found.manifest == manifest(b"hello")
    assert found.tarball == here.directory / f"{KEY}.tar.gz"
    assert here.manifest_file(KEY).read_bytes() == (files / f"{KEY}.json").read_bytes()


def test_files_as_a_shared_directory_has_them_are_found_too(tmp_path: Path, here: DirectoryStore, files: Path) -> None:
    (tmp_path / "store").mkdir()
    push(KEY, DirectoryStore(files), SharedDirectory(tmp_path / "store", APP), TRUST, silent)
    (tarball,) = (tmp_path / "store" / APP).glob("*.tar.gz")

    for file in (tarball, tmp_path / "store" / APP / f"{KEY}.json"):
        assert chosen_artifact(str(file), INVENTORY, here, None, silent).manifest == manifest(b"hello")
        here.remove(KEY)


def test_a_file_of_another_name_is_kept_by_its_content(files: Path, here: DirectoryStore) -> None:
    for ending in ("json", "tar.gz"):
        (files / f"{KEY}.{ending}").rename(files / f"release.{ending}")

    chosen_artifact(str(files / "release.tar.gz"), INVENTORY, here, None, silent)

    assert list(here.kept()) == [manifest(b"hello").sha256[:20]]


def test_a_file_that_is_missing_or_was_changed_is_refused(files: Path, here: DirectoryStore) -> None:
    with pytest.raises(Misuse, match=r"missing\.json cannot be read"):
        chosen_artifact(str(files / "missing.json"), INVENTORY, here, None, silent)
    tarball = files / f"{KEY}.tar.gz"
    tarball.write_bytes(tarball.read_bytes()[:-1])
    with pytest.raises(Refused, match="is not what its manifest says"):
        chosen_artifact(str(tarball), INVENTORY, here, None, silent)
    tarball.unlink()
    with pytest.raises(Misuse, match=r"there is no .* beside it"):
        chosen_artifact(str(files / f"{KEY}.json"), INVENTORY, here, None, silent)
    assert here.kept() == {}


def test_several_keys_may_stand_in_one_word_and_a_file_may_have_a_comma() -> None:
    one, two = "a" * 20, "b" * 20
    assert split_names([f"{one},{two}", one, "out,1/KEY.json"]) == (one, two, "out,1/KEY.json")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Artifact]:
    """The artifacts of each name, for hosts of two kinds."""
    found = {"old": BUILT_OLD, "new": BUILT_NEW}
    monkeypatch.setattr(named_artifact, "chosen_artifact", lambda name, *args: found[name])
    monkeypatch.setattr(lock, "look", lambda fleet, hosts, emit: {host.name: BOTH[host.name] for host in hosts})
    return found


def choose(here: DirectoryStore, *names: str) -> dict[str, str]:
    fleet = fleet_of({"web1": Host(name="web1"), "web2": Host(name="web2")})
    artifacts = chosen_artifacts(names, fleet, HostSelection(), here, None, silent)
    assert len({artifact.manifest.commit for artifact in artifacts.each}) == 1
    return {host: artifacts.of(host).manifest.toolchain.libc for host in ("web1", "web2")}


def test_of_several_artifacts_each_host_gets_the_one_that_fits(here: DirectoryStore, made: dict[str, Artifact]) -> None:
    # One source tree can belong to several commits: the hosts get the commit of the first.
    other = msgspec.structs.replace(BUILT_NEW.manifest, commit="e" * 40)
    made["new"] = Artifact(BUILT_NEW.tarball, other)

    assert choose(here, "new", "old") == {"web1": "glibc 2.36", "web2": "glibc 2.41"}
    # One alone goes to all: the plan refuses it under the lock, with the names of hosts that it does not fit.
    assert choose(here, "new") == {"web1": "glibc 2.41", "web2": "glibc 2.41"}


def test_artifacts_of_different_sources_do_not_go_out_together(here: DirectoryStore, made: dict[str, Artifact]) -> None:
    made["new"] = Artifact(BUILT_NEW.tarball, msgspec.structs.replace(BUILT_NEW.manifest, tree="u" * 40))
    with pytest.raises(Refused, match=r"names different sources: old is 2\.0 .*; new is 2\.0"):
        choose(here, "old", "new")
