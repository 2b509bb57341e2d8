"""Connections, against a real sshd that each test starts on a loopback port."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.background import eventually
from tests.lab import LabHandle
from tests.sshd import Sshd, keygen, serving
from warpbeam.error import Lost, Misuse, Problem, Refused
from warpbeam.host.sudo import RootShell
from warpbeam.inventory.schema import Host, Ssh
from warpbeam.ssh.channel import Process
from warpbeam.ssh.connection import Connection, connect, openssh_argv
from warpbeam.ssh.hostkeys import hashed
from warpbeam.ssh.ssh_config import Settings


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serving(tmp_path / "a host") as server:
        yield server


def run(connection: Connection, script: str) -> tuple[int, str, str]:
    out: list[bytes] = []
    err: list[bytes] = []
    status = connection.execute("bash -s", [script.encode()], out.append, err.append)
    return status, b"".join(out).decode(), b"".join(err).decode()


@contextmanager
def connected(server: Sshd, **ssh: object) -> Iterator[Connection]:
    connection = connect(server.host(), None, server.ssh(**ssh), "demo")
    try:
        yield connection
    finally:
        connection.close()


def refused(server: Sshd, **ssh: object) -> Refused:
    with connected(server, **ssh) as connection, pytest.raises(Refused) as caught:
        run(connection, "true\n")
    return caught.value


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# The results of a command.


def test_a_command_gives_its_output_and_its_exit_status(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        assert run(connection, "echo out; echo err >&2; exit 7\n") == (7, "out\n", "err\n")
        assert run(connection, "exit 0\n") == (0, "", "")


def test_an_end_by_signal_is_128_and_its_number(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        assert run(connection, "kill -KILL $$\n")[0] == 137
        assert run(connection, "kill -TERM $$\n")[0] == 143


def test_all_commands_share_one_connection(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        clients = {run(connection, 'echo "$SSH_CONNECTION"\n')[1] for _ in range(3)}
    assert len(clients) == 1


def test_a_connection_that_went_away_between_two_commands_is_opened_anew(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        first = run(connection, 'echo "$SSH_CONNECTION"\n')[1]
        for child in sshd.children():
            os.kill(child, signal.SIGKILL)
        status, second, _ = run(connection, 'echo "$SSH_CONNECTION"\n')
    assert status == 0
    assert second != first


def test_fifty_megabytes_arrive_whole_in_both_directions(sshd: Sshd) -> None:
    block = os.urandom(1 << 20)
    sent = hashlib.sha256()
    back = hashlib.sha256()

    def body() -> Iterator[bytes]:
        for number in range(50):
            piece = block[number:] + block[:number]
            sent.update(piece)
            yield piece

    with connected(sshd) as connection:
        assert connection.execute("cat", body(), back.update, lambda _: None) == 0
    assert back.hexdigest() == sent.hexdigest()


def test_a_command_that_does_not_read_its_input_ends_at_once(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        rest = iter(range(1000))
        status = connection.execute("exit 5", (bytes(1 << 20) for _ in rest), lambda _: None, lambda _: None)
    assert status == 5
    assert next(rest) < 500


def test_commands_of_several_threads_do_not_mix(sshd: Sshd) -> None:
    answers: dict[int, str] = {}
    with connected(sshd) as connection:

        def one(number: int) -> None:
            answers[number] = run(connection, f"for i in 1 2 3; do echo {number}; sleep 0.05; done\n")[1]

        threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {number: f"{number}\n" * 3 for number in range(5)}


# Commands that end before their time.


def test_an_interrupt_ends_the_remote_process_and_its_children(sshd: Sshd) -> None:
    pids: list[int] = []
    with connected(sshd) as connection:

        def on_stdout(piece: bytes) -> None:
            pids.extend(int(word) for word in piece.split())
            threading.Thread(target=connection.interrupt).start()

        status = connection.execute(
            "bash -s", [b"sleep 600 & echo $$ $!; wait\n"], on_stdout, lambda _: None
        )  # fmt: skip
        assert status == 143
        assert eventually(lambda: not any(lives(pid) for pid in pids))
        connection.interrupt()
        assert run(connection, "echo still here\n")[1] == "still here\n"


def test_an_interrupt_ends_what_sudo_runs_and_its_children(lab: LabHandle) -> None:
    pids: list[int] = []
    connection = connect(Host(name="web1"), "admin", Ssh(config=lab.ssh_config))

    def on_stdout(piece: bytes) -> None:
        pids.extend(int(word) for word in piece.split())
        connection.interrupt()

    script = [b"sleep 600 & echo $$ $!; wait\n"]
    assert connection.execute("sudo -n -- bash -s", script, on_stdout, lambda _: None) == 143
    left = run(connection, f"sleep 0.2; ps -o pid= -p {','.join(map(str, pids))}\n")
    assert left == (1, "", "")
    connection.close()


def test_an_interrupt_ends_a_command_with_a_higher_number_than_its_own(lab: LabHandle) -> None:
    """Numbers of processes begin again after pid_max."""

    def numbers_go_on_after(number: int) -> None:
        enter = ("nsenter", f"--target={lab.status('web1').pid}", "--pid", "--")
        subprocess.run([*enter, "sysctl", "-q", f"kernel.ns_last_pid={number}"], check=True)

    pids: list[int] = []
    connection = connect(Host(name="web1"), "admin", Ssh(config=lab.ssh_config))
    connection.open()

    def on_stdout(piece: bytes) -> None:
        pids.append(int(piece))
        numbers_go_on_after(2000)
        connection.interrupt()

    numbers_go_on_after(20000)
    assert connection.execute("bash -s", [b"echo $$; exec sleep 600\n"], on_stdout, lambda _: None) == 143
    assert pids[0] > 20000
    connection.close()


@pytest.fixture
def careful(lab: LabHandle) -> Iterator[Connection]:
    """An admin of web1 whose sudo asks for a password, which is `right`."""
    make = """
        useradd --create-home --shell /bin/bash careful && echo careful:right | chpasswd
        install -d -o careful -m 700 ~careful/.ssh && install -o careful ~admin/.ssh/authorized_keys ~careful/.ssh/
        echo 'careful ALL=(ALL) ALL' >/etc/sudoers.d/careful
    """
    lab.ssh("web1", "sudo bash -s", stdin=make)
    connection = connect(Host(name="web1"), "careful", Ssh(config=lab.ssh_config))
    yield connection
    connection.close()
    lab.ssh("web1", "sudo rm /etc/sudoers.d/careful; sudo userdel --force --remove careful", check=False)


def test_a_sudo_that_asks_gets_the_password_and_then_the_script(careful: Connection) -> None:
    out: list[bytes] = []
    assert RootShell(careful, "right").execute("bash -s", [b"id -un; cat\n", b"body\n"], out.append, print) == 0
    assert b"".join(out) == b"root\nbody\n"


def test_a_wrong_sudo_password_is_tried_once_and_the_script_is_no_password(lab: LabHandle, careful: Connection) -> None:
    with pytest.raises(Misuse, match="sudo does not take that password"):
        RootShell(careful, "wrong").execute("bash -s", [b"touch /tmp/ran\n", b"one\n", b"two\n"], print, print)

    said = lab.ssh("web1", "sudo journalctl --quiet --output=cat _COMM=sudo | grep careful | tail -n 1").stdout
    assert "1 incorrect password attempt" in said
    assert lab.ssh("web1", "ls /tmp/ran", check=False).stdout == ""


def test_a_command_that_ignores_the_interrupt_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warpbeam.ssh.channel.GRACE", 1.5)
    with connected(sshd) as connection:
        with pytest.raises(Lost, match="did not end"):
            connection.execute(
                "bash -s",
                [b"trap '' TERM; echo; sleep 20\n"],
                lambda _: connection.interrupt(),
                lambda _: None,
            )
        assert run(connection, "echo still here\n")[1] == "still here\n"


def test_an_exception_while_listening_leaves_no_process_behind(sshd: Sshd) -> None:
    pids: list[int] = []

    def on_stdout(piece: bytes) -> None:
        pids.append(int(piece))
        raise KeyboardInterrupt

    with connected(sshd) as connection, pytest.raises(KeyboardInterrupt):
        connection.execute("bash -s", [b"echo $$; exec sleep 600\n"], on_stdout, lambda _: None)
    assert eventually(lambda: not lives(pids[0]))


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(sshd: Sshd, tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"part\n"
        raise ValueError("the disk is gone")

    with connected(sshd) as connection, pytest.raises(ValueError, match="the disk is gone"):
        connection.execute(f"cat > {tmp_path}/got && touch {tmp_path}/whole", body(), print, print)
    time.sleep(0.2)
    assert not (tmp_path / "whole").exists()


def test_a_command_that_was_interrupted_before_it_began_does_not_begin(sshd: Sshd) -> None:
    with connected(sshd) as connection:
        process = Process("web1", "web1")
        process.interrupt()
        with pytest.raises(Refused, match="before it began"):
            process.run(connection._session(), "bash -s", [b"sleep 60\n"], print, print)
        assert run(connection, "echo still here\n")[1] == "still here\n"


def test_a_connection_that_breaks_as_the_command_is_sent_is_lost(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EOFError

    with connected(sshd) as connection:
        connection.open()
        monkeypatch.setattr("warpbeam.ssh.channel.send_request", broken)
        monkeypatch.setattr("warpbeam.ssh.channel.GRACE", 1.0)
        with pytest.raises(Lost, match=r"web1.*ended in the middle"):
            run(connection, "true\n")


def test_a_server_that_has_too_many_waiting_is_asked_again(tmp_path: Path) -> None:
    with serving(tmp_path / "a host", config="MaxStartups 1:100:1") as server:
        # A connection that does not log in holds the only place.
        other = socket.create_connection(("127.0.0.1", server.port))
        threading.Timer(1, other.close).start()
        with connected(server) as connection:
            assert run(connection, "echo in\n")[1] == "in\n"


def test_a_server_that_never_greets_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warpbeam.ssh.opening.PAUSES", (0.1, 0.2))
    asked: list[object] = []

    def hang_up(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                opened, address = listener.accept()
                asked.append(address)
                opened.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        host = Host(name="web1", address="127.0.0.1", port=listener.getsockname()[1])
        with pytest.raises(Refused, match="ended the connection before it had begun") as told:
            connect(host, None, sshd.ssh(), "demo").open()
        listener.shutdown(socket.SHUT_RDWR)
    assert len(asked) == 3
    assert "fewer --jobs" in told.value.hint


def test_hosts_are_looked_up_at_once_not_one_after_the_other() -> None:
    meeting = threading.Barrier(3)

    def ask() -> Settings:
        meeting.wait(10)
        raise Refused("enough")

    def look(name: str) -> None:
        with pytest.raises(Refused, match="enough"):
            _ = Connection(name, ask).settings

    threads = [threading.Thread(target=look, args=(f"web{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_connection_cut_in_the_middle_is_lost_not_failed(sshd: Sshd) -> None:
    def on_stdout(_: bytes) -> None:
        for child in sshd.children():
            # Stopped first: it is not to tell how the command ended.
            os.kill(child, signal.SIGSTOP)
            for pid in Path(f"/proc/{child}/task/{child}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            os.kill(child, signal.SIGKILL)

    with connected(sshd) as connection, pytest.raises(Lost, match=r"web1.*ended in the middle"):
        connection.execute("bash -s", [b"echo; sleep 20\n"], on_stdout, lambda _: None)


def test_a_host_that_no_longer_answers_is_noticed(sshd: Sshd) -> None:
    (sshd.home / "config").write_text("ServerAliveInterval 1\nServerAliveCountMax 2\n")

    def on_stdout(_: bytes) -> None:
        for child in sshd.children():
            os.kill(child, signal.SIGSTOP)

    try:
        with connected(sshd) as connection, pytest.raises(Lost, match="no sign of life for 2 s"):
            connection.execute("bash -s", [b"echo; sleep 20\n"], on_stdout, lambda _: None)
    finally:
        for child in sshd.children():
            os.kill(child, signal.SIGCONT)


# The host's identity.


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_a_command(
    sshd: Sshd,
) -> None:
    sshd.knows()
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.home / "host_ed25519.pub")], capture_output=True, text=True, check=True
    )
    problem = refused(sshd)
    assert problem.code == 3
    assert shown.stdout.split()[1] in problem.message
    assert f"web1 (127.0.0.1:{sshd.port})" in problem.message
    assert "fab demo hosts.trust -H web1" in problem.hint


def test_a_changed_host_key_is_refused_with_both_fingerprints_and_the_known_line(
    sshd: Sshd,
) -> None:
    keygen(sshd.home / "other")
    other = " ".join((sshd.home / "other.pub").read_text().split()[:2])
    sshd.knows("# a comment", f"[127.0.0.1]:{sshd.port} {other}")
    problem = refused(sshd)
    assert "THE HOST KEY HAS CHANGED" in problem.message
    assert f"{sshd.known_hosts}:2" in problem.message
    assert problem.message.count("SHA256:") == 2
    assert "ssh-keygen -R" in problem.hint


def test_a_revoked_host_key_is_refused_though_it_is_known(sshd: Sshd) -> None:
    sshd.knows(sshd.line, f"@revoked * {sshd.public()}")
    assert "REVOKED" in refused(sshd).message


def test_a_key_in_a_file_of_revoked_keys_is_refused_be_it_text_or_krl(sshd: Sshd) -> None:
    (sshd.home / "config").write_text(f'RevokedHostKeys "{sshd.home}/revoked"\n')
    shutil.copy(sshd.home / "host_ed25519.pub", sshd.home / "revoked")
    assert "REVOKED" in refused(sshd).message
    krl = ["ssh-keygen", "-q", "-k", "-f", str(sshd.home / "revoked"), str(sshd.home / "host_ed25519.pub")]
    subprocess.run(krl, check=True)
    assert "REVOKED" in refused(sshd).message
    (sshd.home / "revoked").unlink()
    assert "cannot read the revoked host keys" in refused(sshd).message


def test_hashed_names_and_lines_nobody_understands_do_not_hinder(sshd: Sshd) -> None:
    sshd.knows(
        "@cert-authority * ssh-ed25519 AAAA",
        "nonsense",
        "host 1024 35 12345",
        "[127.0.0.1]:1 ssh-ed25519 !!!",
        f"{hashed(f'[127.0.0.1]:{sshd.port}')} {sshd.public()}",
    )
    with connected(sshd) as connection:
        assert run(connection, "echo in\n")[1] == "in\n"


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_a_host_with_several_keys_is_asked_for_the_one_that_is_known(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kinds=("ed25519", "ecdsa", "rsa")) as server:
        server.knows(f"[127.0.0.1]:{server.port} {server.public(kind)}")
        with connected(server) as connection:
            assert run(connection, "echo in\n")[1] == "in\n"


def test_a_host_key_alias_is_what_known_hosts_is_asked_for(sshd: Sshd) -> None:
    (sshd.home / "config").write_text("HostKeyAlias the-web\n")
    sshd.knows(f"the-web {sshd.public()}")
    with connected(sshd) as connection:
        assert run(connection, "echo in\n")[1] == "in\n"


# Our identity, and where OpenSSH's configuration sends us.


def test_a_refused_login_names_the_user_and_the_keys_that_were_tried(sshd: Sshd) -> None:
    (sshd.home / "authorized_keys").write_text("")
    problem = refused(sshd)
    assert "does not let root in" in problem.message
    assert str(sshd.home / "id_ed25519") in problem.message


def test_a_key_with_a_passphrase_is_sent_to_the_agent(sshd: Sshd) -> None:
    keygen(sshd.home / "locked", passphrase="secret")
    problem = refused(sshd, identities=(sshd.home / "locked",))
    assert "passphrase" in problem.message
    assert problem.hint == f"hand it to your agent: ssh-add {sshd.home / 'locked'}"


@contextmanager
def agent(directory: Path, *keys: Path) -> Iterator[Path]:
    # A path of its own: a socket's may have 107 bytes at most (unix(7)).
    sock = Path(f"/tmp/wb-agent-{os.getpid()}")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        assert eventually(sock.exists)
        variables = {**os.environ, "SSH_AUTH_SOCK": str(sock)}
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env=variables, check=True)
        yield sock
    finally:
        process.terminate()
        process.wait()
        sock.unlink(missing_ok=True)


def test_an_agent_full_of_keys_does_not_use_up_the_tries_when_identities_only_is_set(sshd: Sshd) -> None:
    for number in range(6):
        keygen(sshd.home / f"other{number}")
    others = [sshd.home / f"other{number}" for number in range(6)]
    with agent(sshd.home, *others, sshd.home / "id_ed25519") as sock:
        (sshd.home / "config").write_text(f'IdentityAgent {sock}\nIdentityFile "{sshd.home}/none"\n')
        # MaxAuthTries is 4: without IdentitiesOnly the agent's first keys use them up.
        assert "(agent)" in refused(sshd, identities=()).message
        # Its private half is gone from disk: the agent signs for the one that is asked for.
        (sshd.home / "id_ed25519").unlink()
        with connected(sshd) as connection:
            assert run(connection, "echo in\n")[1] == "in\n"
        (sshd.home / "authorized_keys").write_text("")
        message = refused(sshd).message
        assert "id_ed25519 (agent)" in message
        assert "other0" not in message


def test_a_certificate_beside_a_key_is_offered(sshd: Sshd) -> None:
    keygen(sshd.home / "ca")
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-s",
            str(sshd.home / "ca"),
            "-I",
            "me",
            "-n",
            "root",
            str(sshd.home / "id_ed25519.pub"),
        ],
        check=True,
    )
    authority = (sshd.home / "ca.pub").read_text()
    (sshd.home / "authorized_keys").write_text(f"cert-authority {authority}")
    with connected(sshd) as connection:
        assert run(connection, "echo in\n")[1] == "in\n"
    (sshd.home / "id_ed25519-cert.pub").rename(sshd.home / "elsewhere.pub")
    assert "does not let root in" in refused(sshd).message
    (sshd.home / "config").write_text(f'CertificateFile "{sshd.home}/elsewhere.pub"\n')
    with connected(sshd) as connection:
        assert run(connection, "echo in\n")[1] == "in\n"


def test_an_included_file_of_ssh_config_counts(sshd: Sshd) -> None:
    (sshd.home / "config").write_text(f'Include "{sshd.home}/more"\n')
    (sshd.home / "more").write_text(f"Host web7\n  HostName 127.0.0.1\n  Port {sshd.port}\n")
    connection = connect(Host(name="web7"), None, sshd.ssh(), "demo")
    try:
        assert run(connection, "echo in\n")[1] == "in\n"
        assert connection.settings.label == f"web7 (127.0.0.1:{sshd.port})"
    finally:
        connection.close()


def jumping(sshd: Sshd, hop: Sshd, known: str) -> Host:
    (sshd.home / "config").write_text(
        f'Host bastion\n  HostName 127.0.0.1\n  Port {hop.port}\n  IdentityFile "{hop.home}/id_ed25519"\n'
        f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n  ProxyJump bastion\n"
    )
    sshd.knows(*(line for line in (sshd.line, known) if line))
    return Host(name="inner")


def test_a_jump_host_is_gone_through_and_judged_as_strictly(sshd: Sshd, tmp_path: Path) -> None:
    with serving(tmp_path / "hop") as hop:
        host = jumping(sshd, hop, hop.line)
        connection = connect(host, None, sshd.ssh(), "demo")
        try:
            status, _, _ = run(connection, "true\n")
            assert status == 0
            assert len(hop.children()) == 1
            argv = openssh_argv(connection, ["echo", "a  b", "$HOME"], tty=False)
            assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "a  b $HOME\n"
        finally:
            connection.close()

        sshd.knows(sshd.line)
        connection = connect(host, None, sshd.ssh(), "demo")
        with pytest.raises(Refused, match=r"bastion \(127.0.0.1:\d+\): is not known") as caught:
            run(connection, "true\n")
        assert "-H inner" in caught.value.hint
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 255


def test_a_host_that_its_jump_host_cannot_reach_is_reported(sshd: Sshd, tmp_path: Path) -> None:
    with serving(tmp_path / "hop") as hop:
        host = jumping(sshd, hop, hop.line)
        text = (sshd.home / "config").read_text().replace(f"Port {sshd.port}", "Port 1")
        (sshd.home / "config").write_text(text)
        connection = connect(host, None, sshd.ssh(), "demo")
        with pytest.raises(Refused, match=r"its jump host bastion .* cannot reach it"):
            run(connection, "true\n")


def test_a_proxy_command_is_run_and_its_last_words_are_shown(sshd: Sshd) -> None:
    relay = "import socket,sys,threading,os\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
    relay += "def up():\n while d:=os.read(0,65536): s.sendall(d)\n s.shutdown(1)\n"
    relay += "threading.Thread(target=up,daemon=True).start()\nwhile d:=s.recv(65536): os.write(1,d)\n"
    (sshd.home / "relay.py").write_text(relay)
    (sshd.home / "config").write_text(f'ProxyCommand python3 "{sshd.home}/relay.py" %h %p\n')
    with connected(sshd) as connection:
        assert run(connection, "echo in\n")[1] == "in\n"
    (sshd.home / "config").write_text("ProxyCommand echo no way >&2; exit 1\n")
    assert "its ProxyCommand failed: no way" in refused(sshd).message


def test_a_mistake_in_ssh_config_is_reported_in_its_own_words(sshd: Sshd) -> None:
    (sshd.home / "config").write_text("Bogus yes\n")
    assert "line 1: Bad configuration option: bogus" in refused(sshd).message


# Hosts that are not there.


def test_a_dead_port_is_refused(sshd: Sshd) -> None:
    connection = connect(Host(name="web1", address="127.0.0.1", port=1), None, sshd.ssh(), "demo")
    with pytest.raises(Refused, match=r"web1 \(127.0.0.1:1\): refuses connections to port 1"):
        run(connection, "true\n")


def test_a_name_without_an_address_is_reported(sshd: Sshd) -> None:
    connection = connect(Host(name="no.such.host.invalid"), None, sshd.ssh(), "demo")
    with pytest.raises(Refused, match=r"(no address for the name|did not answer)"):
        run(connection, "true\n")


@pytest.mark.parametrize("backlog", ["no banner", "no accept"])
def test_a_silent_host_takes_no_longer_than_the_time_out(sshd: Sshd, backlog: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        if backlog == "no accept":
            # A full queue drops further SYNs: the same to a client as a black hole.
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
        host = Host(name="web1", address="127.0.0.1", port=address[1])
        connection = connect(host, None, sshd.ssh(connect_timeout=1), "demo")
        began = time.monotonic()
        with pytest.raises(Refused, match="did not answer within 1 s"):
            run(connection, "true\n")
        # Paramiko's own patience with a silent server is 15 s.
        assert time.monotonic() - began < 10
        for filler in fillers:
            filler.close()


def test_an_interrupt_ends_the_wait_for_a_silent_host(sshd: Sshd) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        host = Host(name="web1", address="127.0.0.1", port=listener.getsockname()[1])
        connection = connect(host, None, sshd.ssh(connect_timeout=30), "demo")
        threading.Timer(0.4, connection.interrupt).start()
        with pytest.raises(Problem, match="interrupted"):
            run(connection, "true\n")


def test_a_server_that_allows_no_command_is_reported(tmp_path: Path) -> None:
    with serving(tmp_path, config="MaxSessions 0") as server:
        assert "opens no session" in refused(server).message


def test_an_inventory_with_nothing_but_a_name_uses_what_ssh_itself_would(sshd: Sshd) -> None:
    connection = connect(Host(name="web1"), "deploy", Ssh(), "demo")
    assert connection.settings.user == "deploy"
    assert connection.settings.port == 22
