"""This machine's store when its disk is full, and when its directory cannot be made."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.store.test_shared_stores import APP, INVENTORY, KEY, keep, tarball
from warpbeam.build.signature import Trust
from warpbeam.cli.problem_text import full_disk
from warpbeam.error import Failed
from warpbeam.event import silent
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.shared_directory import SharedDirectory
from warpbeam.store.store import PutLive
from warpbeam.store.transfer import pull, push

TRUST = Trust("acme", "hello")
LIVE = PutLive("a" * 64, "c" * 40, "s", False, "20261120T000000Z")


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Meanwhile no file of this process can become longer than that, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_message_that_names_the_directory_and_nothing_is_left(tmp_path: Path) -> None:
    here, there = DirectoryStore(tmp_path / "here"), DirectoryStore(tmp_path / "there")
    (tmp_path / "store").mkdir()
    shared = SharedDirectory(tmp_path / "store", APP)
    made = keep(there, KEY, os.urandom(3000))
    push(KEY, there, shared, TRUST, silent)

    with no_room(2000), pytest.raises(Failed, match=f"{here.directory} of this machine cannot be written: ") as pulled:
        pull(KEY, here, shared, INVENTORY, silent)
    assert "make room there" in pulled.value.hint
    assert [*here.directory.iterdir()] == []
    with no_room(10), pytest.raises(Failed, match="cannot be written"):
        here.note_live("production", LIVE)
    assert [*here.directory.iterdir()] == []

    # The same again, with room.
    assert pull(KEY, here, shared, INVENTORY, silent).manifest == made


def test_a_disk_that_is_full_after_the_tarball_leaves_no_artifact(tmp_path: Path) -> None:
    here = DirectoryStore(tmp_path / "here")

    with no_room(len(tarball(b"hello"))), pytest.raises(Failed, match="cannot be written"):
        keep(here, KEY)

    assert here.find(KEY) is None
    assert here.kept() == {}
    keep(here, KEY)
    assert here.find(KEY) is not None


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / ".warpbeam").write_text("mine")
    here = DirectoryStore(tmp_path / ".warpbeam" / "artifacts")

    with pytest.raises(Failed, match=f"{tmp_path}/.warpbeam of this machine cannot be written: Not a directory"):
        here.check_room(1, "")


@pytest.mark.parametrize(("number", "known"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_anywhere_else_is_no_fault_of_ours(number: int, known: bool) -> None:
    problem = full_disk(OSError(number, os.strerror(number), "/tmp/x"))

    assert (problem is not None) is known
    if problem is not None:
        assert problem.message == "this machine's disk has no room left for /tmp/x"
