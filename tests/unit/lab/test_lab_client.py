"""The files for a user's ssh, and the requirements of this machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from warpbeam.error import Refused
from warpbeam.lab import client, command, requirement
from warpbeam.lab.client import config, host_names, known_hosts, make_key, ssh_argv
from warpbeam.lab.state import Lab, Member

WEB1, WEB2 = Member("web1", number=10), Member("web2", number=11)
LAB = Lab("demo", "bookworm", 7, 64, (WEB1, WEB2))


def resolve(text: str, host: str, tmp_path: Path) -> dict[str, str]:
    """Return the settings that OpenSSH itself reads from an ssh_config."""
    file = tmp_path / "config"
    file.write_text(text)
    printed = subprocess.run(("ssh", "-G", "-F", str(file), host), capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)


def test_openssh_resolves_a_host_to_its_address_and_trusts_nothing_unknown(tmp_path: Path) -> None:
    found = resolve(config(LAB), "web2", tmp_path)
    assert (found["hostname"], found["user"]) == ("10.83.7.11", "admin")
    assert found["stricthostkeychecking"] == "true"
    assert found["identitiesonly"] == "yes"
    assert found["identityfile"] == "/var/lib/warpbeam/labs/demo/id_ed25519"
    assert found["userknownhostsfile"] == "/var/lib/warpbeam/labs/demo/known_hosts"


def test_known_hosts_has_each_host_by_name_and_by_both_addresses(tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path / name, name) for name in ("web1", "web2")}
    file = tmp_path / "known_hosts"
    file.write_text(known_hosts(LAB, keys))
    for name in ("web2", "10.83.7.11", "fd83:7761:7270:7::b"):
        found = subprocess.run(("ssh-keygen", "-F", name, "-f", str(file)), capture_output=True, text=True, check=True)
        assert keys["web2"].split()[1] in found.stdout


def test_a_key_is_made_once_and_a_half_made_one_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "key"
    (tmp_path / ".key.new").write_text("half")
    (tmp_path / "key.pub").write_text("of another")
    made = make_key(file, "test")
    assert made.startswith("ssh-ed25519 ")
    assert make_key(file, "test") == made
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["key", "key.pub"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_host_finds_itself_first_and_the_others_by_name() -> None:
    lines = host_names(LAB, WEB2).splitlines()
    assert lines[0] == "127.0.0.1 localhost"
    assert lines[2:4] == ["10.83.7.11 web2", "fd83:7761:7270:7::b web2"]
    assert lines[4:] == ["10.83.7.10 web1", "fd83:7761:7270:7::a web1"]


def test_a_command_for_a_host_is_an_argument_list() -> None:
    assert ssh_argv("demo", "web1", ("uptime",)) == (
        "ssh",
        "-F",
        str(client.config_file("demo")),
        "web1",
        "uptime",
    )


def test_a_machine_that_is_no_linux_gets_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(Refused, match=r"needs Linux.*Darwin"):
        requirement.require_root("a lab")


def test_a_person_who_is_not_root_gets_the_hint_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match="needs root") as refused:
        requirement.require_root("a lab")
    assert "sudo" in refused.value.hint


def test_what_is_missing_is_named_by_package_and_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirement, "PATH", str(tmp_path))
    assert requirement.missing_packages().count("openssh-client") == 1
    assert "systemd-container" in requirement.missing_packages()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"lacks what these Debian packages have: .*mmdebstrap"):
        requirement.require_programs(lambda event: None)


def test_a_machine_without_an_identity_gets_one_and_any_other_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(requirement, "MACHINE_ID", tmp_path / "machine-id")
    monkeypatch.setattr(requirement, "run", ran.append)
    requirement.require_identity(lambda event: None)
    (tmp_path / "machine-id").write_text("\n")
    requirement.require_identity(lambda event: None)
    assert ran == ["systemd-machine-id-setup"] * 2
    (tmp_path / "machine-id").write_text("0123\n")
    requirement.require_identity(lambda event: None)
    assert len(ran) == 2


def test_a_failed_program_is_named_with_its_last_lines() -> None:
    with pytest.raises(command.Failed, match="ended with 3") as failed:
        command.run("sh", "-c", "echo one; echo two >&2; exit 3")
    assert failed.value.details == ("one", "two")
