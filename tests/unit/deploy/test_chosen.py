"""The artifact that a person names: a key, here or in the store, or a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.store.test_shared_stores import APP, INVENTORY, KEY, keep, manifest
from warpbeam.deploy.chosen import check_artifact_alone, chosen_artifact, chosen_manifest
from warpbeam.error import Misuse, Refused
from warpbeam.event import silent
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.transfer import push


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
    push(KEY, other, shared, silent)

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
    push(KEY, other, shared, silent)

    assert chosen_manifest(KEY, INVENTORY, here, shared) == made
    assert chosen_manifest(str(files / f"{KEY}.tar.gz"), INVENTORY, here, None) == made
    assert not here.directory.exists()
    assert chosen_manifest(KEY, INVENTORY, other, None) == made


@pytest.mark.parametrize("others", [("main", False), ("", True)])
def test_an_artifact_and_a_commit_are_two_different_things(others: tuple[str, bool]) -> None:
    check_artifact_alone(None, *others)
    check_artifact_alone(KEY, "", False)
    with pytest.raises(Misuse, match="say two different things"):
        check_artifact_alone(KEY, *others)
    with pytest.raises(Misuse, match="expected a key or the path of a file"):
        check_artifact_alone("")


def test_what_was_changed_here_is_taken_from_the_store(tmp_path: Path, here: DirectoryStore) -> None:
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    keep(here, KEY)
    push(KEY, here, shared, silent)
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
    push(KEY, DirectoryStore(files), SharedDirectory(tmp_path / "store", APP), silent)
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
