"""Settings from `ssh -G`: with the real ssh, and configuration files of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from warpbeam.error import Refused
from warpbeam.inventory.schema import Host, Ssh
from warpbeam.lab.state import LABS
from warpbeam.ssh.connection import connect, openssh_argv
from warpbeam.ssh.ssh_config import Settings, parse_hop, resolve


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "a config"
    file.touch()
    return file


def asked(config: Path, text: str, name: str = "web1", **others: object) -> Settings:
    config.write_text(text)
    return resolve(name, name, ssh=Ssh(config=config), **others)  # type: ignore[arg-type]


def test_what_a_host_block_says_counts(config: Path) -> None:
    found = asked(
        config,
        "Host web*\n HostName 10.0.0.9\n Port 2222\n User me\n ConnectTimeout 7\n HostKeyAlias the-web\n"
        " ServerAliveInterval 5\n ServerAliveCountMax 2\n IdentitiesOnly yes\n AddressFamily inet\n",
    )
    assert (found.hostname, found.port, found.user, found.timeout) == ("10.0.0.9", 2222, "me", 7)
    assert (found.alive_interval, found.alive_count, found.identities_only) == (5, 2, True)
    assert found.known_name == "the-web"
    assert found.label == "web1 (10.0.0.9:2222)"


def test_without_a_word_of_ssh_config_there_are_time_outs_and_keep_alives(config: Path) -> None:
    config.touch()
    found = resolve("web1", "web1", ssh=Ssh(config=config, connect_timeout=3))
    assert (found.timeout, found.alive_interval, found.alive_count) == (3, 15, 3)
    assert "ConnectTimeout=3" in found.options
    assert "ServerAliveInterval=15" in found.options


def test_the_inventory_outweighs_ssh_config(config: Path, tmp_path: Path) -> None:
    config.write_text("User other\nPort 1\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n")
    own = Ssh(config=config, known_hosts=tmp_path / "known 100%", identities=(tmp_path / "my key",))
    found = resolve("web1", "10.0.0.1", ssh=own, user="deploy", port=22)
    assert (found.user, found.port) == ("deploy", 22)
    assert found.user_known_hosts == (tmp_path / "known 100%",)
    assert found.identities[0] == tmp_path / "my key"
    assert found.identities_only


def test_include_match_and_tokens_are_openssh_s_own(config: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_text(
        f"Match host web1 user deploy\n IdentityFile {tmp_path}/%r-%n\n UserKnownHostsFile {tmp_path}/%h {tmp_path}/b\n"
    )
    found = asked(config, f"Include {tmp_path}/more\n", user="deploy")
    assert found.identities == (tmp_path / "deploy-web1",)
    assert found.user_known_hosts == (tmp_path / "web1", tmp_path / "b")


def test_the_agent_is_the_one_that_is_configured(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/usual")
    monkeypatch.setenv("OTHER", "/run/other")
    assert asked(config, "").agent == Path("/run/usual")
    assert asked(config, "IdentityAgent SSH_AUTH_SOCK\n").agent == Path("/run/usual")
    assert asked(config, "IdentityAgent $OTHER\n").agent == Path("/run/other")
    assert asked(config, "IdentityAgent /run/mine\n").agent == Path("/run/mine")
    assert asked(config, "IdentityAgent none\n").agent is None
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert asked(config, "").agent is None


def test_jump_hosts_follow_one_another_as_they_are_written(config: Path) -> None:
    found = asked(
        config, "Host web1\n ProxyJump me@one:2201,two\nHost one\n HostName 10.0.0.1\nHost two\n HostName 10.0.0.2\n"
    )
    assert found.jump and found.jump.jump
    assert (found.jump.hostname, found.jump.jump.hostname) == ("10.0.0.2", "10.0.0.1")
    assert (found.jump.jump.user, found.jump.jump.port) == ("me", 2201)
    assert found.jump.jump.inventory_name == "web1"


def test_a_jump_that_leads_back_to_itself_is_refused(config: Path) -> None:
    with pytest.raises(Refused, match="more than 8 jump hosts"):
        asked(config, "Host web1\n ProxyJump one\nHost one\n ProxyJump two\nHost two\n ProxyJump one\n")


def test_a_proxy_command_has_its_tokens_filled_in(config: Path) -> None:
    found = asked(config, "Host web1\n HostName 10.0.0.9\n ProxyCommand nc -x 100%% %h %p\n", port=2222)
    assert found.proxy_command == "nc -x 100% 10.0.0.9 2222"
    assert asked(config, "ProxyCommand none\n").proxy_command is None


@pytest.mark.parametrize(
    ("hop", "parts"),
    [
        ("one", (None, "one", None)),
        ("me@one:22", ("me", "one", 22)),
        ("me@[::1]:22", ("me", "::1", 22)),
        ("[::1]", (None, "::1", None)),
        ("::1", (None, "::1", None)),
        ("ssh://me@one:22", ("me", "one", 22)),
        ("a@b@one", ("a@b", "one", None)),
    ],
)
def test_a_hop_is_user_host_and_port(hop: str, parts: tuple[str | None, str, int | None]) -> None:
    assert parse_hop(hop) == parts


def test_a_mistake_is_reported_in_openssh_s_words_with_the_command_to_see_them(config: Path) -> None:
    with pytest.raises(Refused, match=r"web1: OpenSSH rejects .*line 2: Bad configuration option: bogus") as caught:
        asked(config, "Port 22\nBogus yes\n")
    assert "ssh -G -F" in caught.value.hint


def test_a_token_we_cannot_fill_in_is_refused_by_name(config: Path) -> None:
    with pytest.raises(Refused, match="%C"):
        asked(config, "IdentityFile /keys/%C\n")


def test_no_ssh_at_all_is_reported(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused, match="has no `ssh`"):
        asked(config, "")


def test_openssh_gets_the_same_words_and_so_the_same_settings(config: Path, tmp_path: Path) -> None:
    config.write_text("Host web1\n HostName 10.0.0.9\n Port 2222\n RemoteCommand evil\n")
    ssh = Ssh(config=config, known_hosts=tmp_path / "known hosts", identities=(tmp_path / "my key",))
    connection = connect(Host(name="web1"), "deploy", ssh)
    argv = openssh_argv(connection, ["sudo", "-n", "--", "helper", "a b", "$(id)"], tty=True)
    assert argv[:2] == ["ssh", "-tt"]
    assert argv[-1] == "sudo -n -- helper 'a b' '$(id)'"
    done = subprocess.run(["ssh", "-G", *argv[2:-1]], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    for line in (
        "hostname 10.0.0.9",
        "port 2222",
        "user deploy",
        f"userknownhostsfile {tmp_path}/known hosts",
        "stricthostkeychecking true",
        "identitiesonly yes",
        "forwardagent no",
    ):
        assert line in said
    assert "remotecommand evil" not in said


def test_a_configuration_that_is_not_there_is_reported_and_how_a_lab_makes_its_own() -> None:
    with pytest.raises(Refused, match=r"web1: there is no file /etc/none/ssh_config$"):
        resolve("web1", "web1", ssh=Ssh(config=Path("/etc/none/ssh_config")))
    with pytest.raises(Refused, match=r"the lab gone is not up, which `sudo fab lab\.up --name gone` mends"):
        resolve("web1", "web1", ssh=Ssh(config=LABS / "gone" / "ssh_config"))
