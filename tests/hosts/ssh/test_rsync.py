"""Carrying a directory with Patchwork's rsync, against a real sshd."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sshd import Sshd, serving
from warpbeam.error import Failed, Misuse
from warpbeam.event import Event, Note
from warpbeam.inventory.schema import Host
from warpbeam.ssh.connection import Connection, connect
from warpbeam.ssh.rsync import config_text, rsync, this_path


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serving(tmp_path / "it's a $HOST") as server:
        yield server


@pytest.fixture
def connection(sshd: Sshd) -> Iterator[Connection]:
    made = connect(sshd.host(), None, sshd.ssh(), "demo")
    yield made
    made.close()


def tree(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): str(path.readlink()) if path.is_symlink() else path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


HARD_NAMES = ["plain", "two words", "it's", 'say "x"', "$HOME", "`id`", "-rf", "#hash", "dir/*", "ä", ";x", "a\\b"]


def test_hard_names_links_and_modes_arrive_and_excluded_ones_do_not(connection: Connection, tmp_path: Path) -> None:
    source, target = tmp_path / "my $source's", tmp_path / "the target's $HOME"
    for name in HARD_NAMES:
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (source / "plain").chmod(0o750)
    (source / "link").symlink_to("two words")
    (source / "dangling").symlink_to("nowhere")
    (source / "_build").mkdir()
    (source / "_build" / "x.beam").write_text("built")
    (source / "deep").mkdir()
    (source / "deep" / "y.secret").write_text("ignored")
    (source / "; rm -x").write_text("ignored")
    events: list[Event] = []
    rsync(connection, source, str(target), ["/_build", "*.secret", "; rm -x"], events.append)
    wanted = {name: name for name in HARD_NAMES} | {"link": "two words", "dangling": "nowhere"}
    assert tree(target) == wanted
    assert (target / "plain").stat().st_mode & 0o777 == 0o750
    # One line, not rsync's list of every file.
    assert [type(event) for event in events] == [Note]
    assert f"carried {len(wanted)} files, " in str(events[0])


def test_what_is_gone_here_goes_there_and_what_is_excluded_stays(connection: Connection, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "kept").write_text("kept")
    (target / "deps").mkdir(parents=True)
    (target / "deps" / "dep").write_text("fetched there")
    (target / "stale.ex").write_text("removed here")
    rsync(connection, source, str(target), ["/deps"])
    assert tree(target) == {"kept": "kept", "deps/dep": "fetched there"}


@pytest.mark.parametrize("name", ["a*", "a?", "a[1]", "a\\b", "a\\*b", "[x", "dir/a*"])
def test_a_name_with_wildcards_leaves_out_that_name_alone(connection: Connection, tmp_path: Path, name: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    others = ["a1", "ab", "axb", "a\\xb", "x", "dir/ab"]
    for each in (name, *others):
        (source / each).parent.mkdir(parents=True, exist_ok=True)
        (source / each).write_text(each)
    rsync(connection, source, str(target), [this_path(name)])
    assert sorted(tree(target)) == sorted(others)


def test_a_target_that_cannot_be_written_fails_with_rsyncs_own_words(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(Failed) as caught:
        rsync(connection, tmp_path / "source", str(tmp_path / "file"))
    assert any("rsync" in line for line in caught.value.details), (caught.value.message, caught.value.details)


def test_an_unknown_host_key_stops_rsync_too(sshd: Sshd, connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    sshd.knows()
    with pytest.raises(Failed) as caught:
        rsync(connection, tmp_path / "source", str(tmp_path / "target"))
    assert any("Host key verification failed" in line for line in caught.value.details)
    assert not (tmp_path / "target").exists()


def test_it_goes_through_the_jump_host(sshd: Sshd, tmp_path: Path) -> None:
    with serving(tmp_path / "hop's") as hop:
        (sshd.home / "config").write_text(
            f'Host bastion\n  HostName 127.0.0.1\n  Port {hop.port}\n  IdentityFile "{hop.home}/id_ed25519"\n'
            f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n  ProxyJump bastion\n"
        )
        sshd.knows(sshd.line, hop.line)
        source = tmp_path / "source"
        source.mkdir()
        (source / "file").write_text("here")
        rsync(connect(Host(name="inner"), None, sshd.ssh(), "demo"), source, str(tmp_path / "target"))
        assert tree(tmp_path / "target") == {"file": "here"}
        assert "Accepted publickey" in (hop.home / "log").read_text()


@pytest.mark.parametrize("bad", ["relative", "/a\nb", "host:/x"])
def test_a_target_that_is_no_absolute_path_is_misuse(connection: Connection, tmp_path: Path, bad: str) -> None:
    with pytest.raises(Misuse):
        rsync(connection, tmp_path, bad)


def test_an_interrupt_ends_it_on_both_sides(connection: Connection, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "large").open("wb") as large:
        for _ in range(256):
            large.write(os.urandom(1 << 20))
    threading.Timer(0.7, connection.interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        rsync(connection, source, str(tmp_path / "target"))
    assert not (tmp_path / "target" / "large").exists()


def test_the_options_of_ssh_become_its_configuration_before_the_users_files() -> None:
    text = config_text(("-o", "ConnectTimeout=5", "-l", "deploy", "-p", "22"))
    assert text.splitlines() == [
        "BatchMode yes",
        "ConnectTimeout 5",
        "User deploy",
        "Port 22",
        'Include "~/.ssh/config"',
        'Include "/etc/ssh/ssh_config"',
    ]


def test_control_c_ends_it(connection: Connection, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "large").open("wb") as large:
        for _ in range(256):
            large.write(os.urandom(1 << 20))
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        rsync(connection, source, str(tmp_path / "target"))
    assert not (tmp_path / "target" / "large").exists()
