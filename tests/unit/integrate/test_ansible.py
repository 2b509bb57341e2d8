"""Ansible's inventory of an environment: groups, variables, the arguments of ssh, and the script."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from warpbeam.error import Misuse
from warpbeam.integrate.ansible import ansible_groups, common_options, group_name, host_listing, listing
from warpbeam.inventory.read import read_inventory

PROJECT = Path(__file__).parents[3]
TEXT = """\
org: acme
app: shop
groups: {web: , job-runners: }
users: {admin: ops}
ssh: {config: ssh config, known_hosts: known, connect_timeout: 7}
hosts:
  web1: {address: 192.0.2.1, port: 2222, roles: [app, migrate], group: web}
  web2: {}
  job1: {address: "2001:db8::1", group: job-runners}
  build1: {roles: [build]}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with an environment `production-2`, whose hosts are described by an ssh configuration."""
    (tmp_path / "ssh config").write_text("Host web2\n  HostName 192.0.2.2\n  ProxyJump jump.example.com:2200\n")
    (tmp_path / "production-2.yml").write_text(TEXT)
    return tmp_path


def listed(here: Path, only: str | None = None) -> dict[str, Any]:
    return listing(read_inventory(here / "production-2.yml", only), 4)


def test_groups_are_the_environment_roles_and_our_groups(here: Path) -> None:
    found = listed(here)
    assert found["all"] == {
        "children": ["ungrouped", "production_2", "app_hosts", "build_hosts", "migrate_hosts", "web", "job_runners"]
    }
    assert found["production_2"]["hosts"] == ["web1", "web2", "job1", "build1"]
    assert found["app_hosts"]["hosts"] == ["web1", "web2", "job1"]
    assert found["migrate_hosts"]["hosts"] == ["web1"]
    assert found["job_runners"] == {"hosts": ["job1"]}
    assert found.keys() - {"_meta", "all"} == set(found["all"]["children"]) - {"ungrouped"}


def test_narrowing_narrows_the_listing(here: Path) -> None:
    found = listed(here, "@web")
    assert [*found["_meta"]["hostvars"]] == found["production_2"]["hosts"] == ["web1"]
    assert "build_hosts" not in found


def test_variables_say_how_to_reach_a_host_and_what_it_is(here: Path) -> None:
    hosts = listed(here)["_meta"]["hostvars"]
    web1 = hosts["web1"]
    assert (web1["ansible_host"], web1["ansible_port"], web1["ansible_user"]) == ("192.0.2.1", 2222, "ops")
    assert web1["warpbeam"] == {
        "environment": "production-2",
        "org": "acme",
        "app": "shop",
        "root": "/opt/acme/shop",
        "roles": ["app", "migrate"],
        "group": "web",
        "app_user": "shop",
        "deploy_user": "deploy",
    }
    assert (hosts["web2"]["ansible_host"], hosts["web2"]["ansible_port"]) == ("web2", 22)
    assert hosts["job1"]["ansible_host"] == "2001:db8::1"


def test_the_arguments_of_ssh_are_those_of_warpbeam_without_user_and_port(here: Path) -> None:
    hosts = listed(here)["_meta"]["hostvars"]
    words = shlex.split(hosts["web1"]["ansible_ssh_common_args"])
    assert words[:2] == ["-F", str(here / "ssh config")]
    assert f'UserKnownHostsFile="{here / "known"}"' in words
    assert "ConnectTimeout=7" in words
    assert not {"-l", "-p", "ops", "2222"} & set(words)
    jump = shlex.split(hosts["web2"]["ansible_ssh_common_args"])
    (proxy,) = (word for word in jump if word.startswith("ProxyCommand="))
    hop = shlex.split(proxy.removeprefix("ProxyCommand="))
    assert hop[:3] == ["ssh", "-F", str(here / "ssh config")]
    assert hop[-5:] == ["2200", "-W", "[%h]:%p", "--", "jump.example.com"]


def test_without_an_admin_ansible_and_ssh_decide_about_the_user(here: Path) -> None:
    (here / "production-2.yml").write_text(TEXT.replace("users: {admin: ops}\n", ""))
    assert "ansible_user" not in listed(here)["_meta"]["hostvars"]["web1"]


def test_one_host_alone_has_the_same_variables(here: Path) -> None:
    inventory = read_inventory(here / "production-2.yml")
    assert host_listing(inventory, "web2") == listed(here)["_meta"]["hostvars"]["web2"]
    with pytest.raises(Misuse, match=r'^--host: there is no host "web"; did you mean "web2"') as caught:
        host_listing(inventory, "web")
    assert caught.value.hint == "there is: web1, web2, job1, build1"


@pytest.mark.parametrize(
    ("name", "fit"), [("web", "web"), ("job-runners", "job_runners"), ("eu.1", "eu_1"), ("1st", "_1st")]
)
def test_a_group_has_a_name_that_ansible_takes(name: str, fit: str) -> None:
    assert group_name(name) == fit


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("a-b", "a.b", "the group a.b and the group a-b would both be the group a_b in Ansible"),
        ("app_hosts", "x", "the group app_hosts and the hosts of role app would both be the group app_hosts"),
        ("all", "x", "the group all and a group of Ansible's own would both be the group all"),
        ("production-2", "x", "the group production-2 and the environment production-2 would both be"),
    ],
)
def test_two_groups_of_one_name_in_ansible_are_refused(here: Path, one: str, other: str, message: str) -> None:
    text = TEXT.replace("group: web", f"group: {one}").replace("group: job-runners", f"group: {other}")
    text = text.replace("groups: {web: , job-runners: }", f"groups: {{{one}: , {other}: }}")
    (here / "production-2.yml").write_text(text)
    with pytest.raises(Misuse) as caught:
        ansible_groups(read_inventory(here / "production-2.yml"))
    assert message in caught.value.message
    assert caught.value.hint


def test_only_user_and_port_are_left_out_of_options() -> None:
    assert common_options(["-F", "/l", "-o", "p", "-l", "x", "-p", "22"]) == ["-F", "/l", "-o", "p"]
    assert common_options([]) == []


def run(here: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WARPBEAM_INVENTORY": str(here), **variables}
    return subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True, check=False)


def test_the_script_prints_the_same_from_anywhere_for_a_link_or_the_only_environment(here: Path) -> None:
    script = str(PROJECT / "script" / "ansible-inventory")
    (here / "links").mkdir()
    link = here / "links" / "production-2"
    link.symlink_to(script)

    found = [
        run(here, script, "--list"),
        run(here, str(link), "--list"),
        run(here, str(link), "--host", "web1"),
        run(here, script, "--list", FABRIC_ENVIRONMENT="staging"),
        run(here, script),
    ]

    assert [done.returncode for done in found] == [0, 0, 0, 2, 2]
    assert json.loads(found[0].stdout) == json.loads(found[1].stdout) == listed(here)
    assert json.loads(found[2].stdout)["ansible_host"] == "192.0.2.1"
    assert "there is no environment 'staging'" in found[3].stderr
    assert "expected --list or --host NAME" in found[4].stderr


@pytest.mark.parametrize("name", ["deploy", "setup.yml", "--help"])
def test_a_link_of_the_script_names_an_environment_and_never_a_task(tmp_path: Path, name: str) -> None:
    (tmp_path / "script").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    script, fab = tmp_path / "script" / "ansible-inventory", tmp_path / ".venv" / "bin" / "fab"
    script.write_text((PROJECT / "script" / "ansible-inventory").read_text())
    fab.write_text('#!/bin/sh\necho "$FABRIC_ENVIRONMENT: $*"\n')
    for program in (script, fab):
        program.chmod(0o755)
    link = tmp_path / name
    link.symlink_to(script)

    done = subprocess.run([link, "--list"], capture_output=True, text=True, check=True)

    said = f"{Path(name).stem}: --search-root={tmp_path} inventory.ansible --list"
    assert done.stdout.strip() == said
