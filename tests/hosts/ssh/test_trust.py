"""`hosts.trust`, against a real sshd."""

# pexpect has no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.sshd import Sshd, keygen, serving
from warpbeam.error import Refused
from warpbeam.event import Event, Note, Settled, Warn
from warpbeam.inventory.schema import Host
from warpbeam.ssh.connection import connect
from warpbeam.ssh.trust import trust

REPOSITORY = Path(__file__).resolve().parents[3]
FAB = Path(sys.executable).parent / "fab"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serving(tmp_path / "host", kinds=("ed25519", "ecdsa", "rsa")) as server:
        yield server


def said_yes(_: str) -> bool:
    return True


def test_an_unknown_host_is_shown_confirmed_and_known_from_then_on(sshd: Sshd) -> None:
    sshd.known_hosts.unlink()
    told: list[Event] = []
    questions: list[str] = []

    def confirm(question: str) -> bool:
        # Nobody can say yes to what was not shown.
        assert sum(isinstance(event, Note) for event in told) == 3
        questions.append(question)
        return True

    trust([sshd.host()], sshd.ssh(), "demo", confirm, told.append)
    assert len(questions) == 1
    lines = sshd.known_hosts.read_text().splitlines()
    assert lines == [f"[127.0.0.1]:{sshd.port} {sshd.public(kind)}" for kind in ("ed25519", "ecdsa", "rsa")]
    connection = connect(sshd.host(), None, sshd.ssh())
    assert connection.execute("true", [], print, print) == 0
    connection.close()

    trust([sshd.host()], sshd.ssh(), "demo", confirm, told.append)
    assert len(questions) == 1
    assert isinstance(told[-1], Settled) and "known already" in told[-1].text
    assert sshd.known_hosts.read_text().splitlines() == lines


def test_without_a_yes_nothing_is_recorded(sshd: Sshd) -> None:
    sshd.knows()
    with pytest.raises(Refused, match="not trusted: web1"):
        trust([sshd.host()], sshd.ssh(), "demo", lambda _: False, lambda _: None)
    assert sshd.known_hosts.read_text() == ""


def test_a_changed_key_is_never_replaced(sshd: Sshd) -> None:
    keygen(sshd.home / "other")
    line = f"[127.0.0.1]:{sshd.port} " + " ".join((sshd.home / "other.pub").read_text().split()[:2])
    sshd.knows(line)
    told: list[Event] = []
    with pytest.raises(Refused) as caught:
        trust([sshd.host()], sshd.ssh(), "demo", said_yes, told.append)
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in caught.value.hint
    assert any(isinstance(event, Warn) and "known until now" in event.text for event in told)
    assert sshd.known_hosts.read_text() == line + "\n"


def test_a_jump_host_is_met_first_and_its_host_through_it(sshd: Sshd, tmp_path: Path) -> None:
    with serving(tmp_path / "hop") as hop:
        (sshd.home / "config").write_text(
            f'Host bastion\n  HostName 127.0.0.1\n  Port {hop.port}\n  IdentityFile "{hop.home}/id_ed25519"\n'
            f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n  ProxyJump bastion\n"
        )
        sshd.knows()
        questions: list[str] = []
        trust(
            [Host(name="inner")],
            sshd.ssh(),
            "demo",
            lambda q: not questions.append(q),  # type: ignore[func-returns-value]
            lambda _: None,
        )
        assert ["bastion" in question for question in questions] == [True, False]
        connection = connect(Host(name="inner"), None, sshd.ssh())
        assert connection.execute("true", [], print, print) == 0
        connection.close()


def test_one_dead_host_does_not_keep_the_others_from_being_met(sshd: Sshd) -> None:
    sshd.knows()
    dead = Host(name="dead", address="127.0.0.1", port=1)
    with pytest.raises(Refused, match=r"not trusted: dead$"):
        trust([dead, sshd.host()], sshd.ssh(), "demo", said_yes, lambda _: None)
    assert sshd.public() in sshd.known_hosts.read_text()


@pytest.fixture
def project(sshd: Sshd, tmp_path: Path) -> dict[str, str]:
    """The environment of a `fab` whose inventory `here` has the one host."""
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "here.yml").write_text(
        "org: org\napp: app\n"
        f"hosts:\n  web1: {{address: 127.0.0.1, port: {sshd.port}, roles: [app, build, migrate]}}\n"
        f"ssh:\n  config: {sshd.home}/config\n  known_hosts: {sshd.known_hosts}\n"
        f"  identities: [{sshd.home}/id_ed25519]\n"
    )
    return {**os.environ, "WARPBEAM_INVENTORY": str(inventory)}


def test_fab_without_a_terminal_wants_the_yes_on_the_command_line(sshd: Sshd, project: dict[str, str]) -> None:
    sshd.knows()
    call = [str(FAB), "here", "hosts.trust"]
    done = subprocess.run(
        call, cwd=REPOSITORY, env=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "--yes" in done.stderr
    assert sshd.known_hosts.read_text() == ""
    done = subprocess.run([*call, "--yes"], cwd=REPOSITORY, env=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "SHA256:" in done.stderr
    assert sshd.public() in sshd.known_hosts.read_text()


def test_fab_asks_on_a_terminal(sshd: Sshd, project: dict[str, str]) -> None:
    for answer, recorded in (("no", False), ("yes", True)):
        sshd.knows()
        child = pexpect.spawn(str(FAB), ["here", "hosts.trust"], cwd=str(REPOSITORY), env=project, timeout=20)
        child.expect("SHA256:")
        child.expect("Record the host keys of web1")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == (0 if recorded else 3)
        assert (sshd.public() in sshd.known_hosts.read_text()) is recorded
