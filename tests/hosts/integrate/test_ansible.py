"""The real Ansible and real hosts, in both directions: Ansible asks Warpbeam for hosts, and Warpbeam asks Ansible."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible import ansible, variables
from tests.environment import ENVIRONMENT, PROJECT, LabEnvironment

HOSTS = ("web1", "web2", "build1")
# Ansible's modules need Python, which the app hosts of a lab do not have: the build host lends them its own.
PYTHON = "/usr/bin/python3* /usr/lib/python3*"
PACK = f"tar -c {PYTHON} /usr/lib/*-linux-gnu/libexpat.so.1*"
UNPACK = "sudo tar -x -C / --skip-old-files"


class Both:
    """An environment, and Ansible with the script that is named after it as its inventory."""

    def __init__(self, environment: LabEnvironment, directory: Path) -> None:
        self.environment = environment
        self.script = directory / ENVIRONMENT
        self.script.symlink_to(PROJECT / "script" / "ansible-inventory")
        self.environ = {**environment.environ, **variables(directory / "ansible")}

    def ansible(self, *words: str, expect: int = 0) -> str:
        return ansible(*words, environ=self.environ, expect=expect)

    def fab(self, *words: str, **options: Any) -> Any:
        return self.environment.fab(*words, variables=self.environ, **options)


@pytest.fixture(scope="module")
def both(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(environment, tmp_path_factory.mktemp("ansible"))


@pytest.fixture(scope="module")
def python(environment: LabEnvironment) -> Iterator[None]:
    """Every host has Python meanwhile."""
    ssh = ("ssh", "-F", str(environment.lab.ssh_config))
    packed = subprocess.run((*ssh, "build1", PACK), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    try:
        for host in ("web1", "web2"):
            subprocess.run((*ssh, host, UNPACK), input=packed.stdout, check=True)
        yield
    finally:
        for host in ("web1", "web2"):
            environment.lab.ssh(host, f"sudo rm -rf {PYTHON}")


@pytest.fixture
def settings(both: Both) -> Iterator[dict[str, Any]]:
    """The settings of the environment, whose inventory is as before after the test."""
    yield both.environment.settings
    both.environment.write()


def test_ansible_reads_groups_addresses_and_users_from_the_script(both: Both, settings: dict[str, Any]) -> None:
    address = both.environment.lab.address("web2")
    hosts = {**settings["hosts"], "web2": {"roles": ["app"], "group": "job-runners", "address": address, "port": 22}}
    both.environment.write(hosts=hosts, groups={"job-runners": None})

    listed = json.loads(both.ansible("ansible-inventory", "-i", str(both.script), "--list"))

    assert set(listed["stage"]["hosts"]) == set(HOSTS)
    assert set(listed["app_hosts"]["hosts"]) == {"web1", "web2"}
    assert listed["build_hosts"]["hosts"] == ["build1"]
    assert listed["migrate_hosts"]["hosts"] == ["web1"]
    assert listed["job_runners"]["hosts"] == ["web2"]
    web2 = listed["_meta"]["hostvars"]["web2"]
    assert (web2["ansible_host"], web2["ansible_port"], web2["ansible_user"]) == (address, 22, "admin")
    assert web2["warpbeam"]["root"] == "/opt/acme/hello"
    one = json.loads(both.ansible("ansible-inventory", "-i", str(both.script), "--host", "web2"))
    assert one == web2 == json.loads(both.ansible(str(both.script), "--host", "web2"))


@pytest.mark.usefixtures("python")
def test_ansible_reaches_every_host_of_the_script_as_admin(both: Both) -> None:
    said = both.ansible("ansible", "-i", str(both.script), "stage", "-m", "ping", "-o")
    assert sorted(line.split(" ")[0] for line in said.splitlines() if '"pong"' in line) == sorted(HOSTS)
    who = both.ansible("ansible", "-i", str(both.script), "app_hosts", "-m", "command", "-a", "id -un", "-b", "-o")
    assert who.count("root") == 2


@pytest.mark.usefixtures("python")
def test_ansible_goes_through_the_same_jump_host(both: Both, settings: dict[str, Any], tmp_path: Path) -> None:
    lab = both.environment.lab
    config = tmp_path / "ssh_config"
    config.write_text(f"Include {settings['ssh']['config']}\nHost web2\n    ProxyJump web1\n")
    both.environment.write(ssh={**settings["ssh"], "config": str(config)})
    ask = ("ansible", "-i", str(both.script), "web2", "-m", "shell", "-a", "echo from ${SSH_CONNECTION%% *}", "-o")

    assert f"from {lab.address('web1')}" in both.ansible(*ask)
    # Ansible's own user wins over the inventory's, as for any inventory of Ansible.
    assert "pong" in both.ansible("ansible", "-i", str(both.script), "web2", "-m", "ping", "-e", "ansible_user=deploy")


def test_warpbeam_takes_its_hosts_from_a_group_of_ansible(both: Both, settings: dict[str, Any], tmp_path: Path) -> None:
    lab = both.environment.lab
    (tmp_path / "hosts.ini").write_text(
        f"[web]\nweb1 ansible_host={lab.address('web1')} ansible_port=22\n"
        f"[eu]\nweb2 ansible_host={lab.address('web2')}\n[web:children]\neu\n"
        f"[builders]\nbuild1\n[db]\ndb1 ansible_host=192.0.2.1\n"
    )
    inventory = str(tmp_path / "hosts.ini")
    both.environment.write(
        hosts={"web1": {"roles": ["app", "migrate"]}},
        groups={"eu": None},
        hosts_from=[
            {"ansible": {"inventory": inventory, "group": "web"}, "group": "eu"},
            {"ansible": {"inventory": inventory, "group": "builders"}, "roles": ["build"]},
        ],
    )

    rows = json.loads(both.fab("hosts.list", "--json").stdout)

    assert [(row["host"], row["address"], row["roles"], row["group"]) for row in rows] == [
        ("web1", lab.address("web1"), ["app", "migrate"], "eu"),
        ("web2", lab.address("web2"), ["app"], "eu"),
        ("build1", None, ["build"], None),
    ]
    assert rows[1]["from"] == "hosts_from.0 (web of hosts.ini): /_meta/hostvars/web2/ansible_host"
    answered = both.fab("-H", "@eu,!web1", "rpc", "1 + 1", "--host", "web*")
    assert answered.stdout == "2\n"


def test_the_two_that_ask_each_other_are_a_circle_and_one_message(both: Both, settings: dict[str, Any]) -> None:
    both.environment.write(hosts_from=[{"ansible": {"inventory": str(both.script), "group": "stage"}}])

    said = both.fab("hosts.list", expect=3).stderr

    assert "found a circle: it asks this environment itself" in said
    assert "Traceback" not in said
