"""Hosts from elsewhere: commands, files and Ansible, with real programs; what they may say, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.background import eventually
from tests.timeouts import LONG
from warpbeam.error import Misuse, Problem, Refused
from warpbeam.inventory import host_source
from warpbeam.inventory.host_source import WAITING, Answers, HostSource
from warpbeam.inventory.hosts_from import MOST_HOSTS, HostsFrom, document_schema
from warpbeam.inventory.read import Reading, read
from warpbeam.inventory.schema import Inventory

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "docs" / "hosts-from.md").read_text()
SCHEMA = PROJECT / "docs" / "hosts-from.schema.json"
HEAD = "org: acme\napp: hello\n"
Read = Callable[..., Reading]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: messages then show a file in it by its name alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(WAITING, raising=False)
    return tmp_path


def reading(text: str, answers: Answers | None = None) -> Reading:
    file = Path("x.yml")
    file.write_text(HEAD + text)
    return read(file, None, answers)


def of_file(document: Any, more: str = "") -> Inventory:
    """The inventory whose hosts a JSON file has."""
    Path("hosts.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return reading(f"hosts_from: [{{file: hosts.json}}]\n{more}").inventory


def refusal(text: str, kind: type[Problem] = Misuse) -> Problem:
    with pytest.raises(kind) as caught:
        reading(text)
    assert type(caught.value) is not Problem
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def program(file: Path, text: str) -> Path:
    """An executable file."""
    file.write_text(text)
    file.chmod(stat.S_IRWXU)
    return file


# Where hosts come from


def test_a_command_is_a_source_instead_of_hosts(here: Path) -> None:
    (here / "h.json").write_text('{"web1": "10.0.0.1", "web2": {"address": "10.0.0.2", "roles": ["build"]}}')
    inventory = reading("hosts_from: [{command: cat h.json}]\n").inventory
    assert {host.name: (host.address, host.roles) for host in inventory.hosts.values()} == {
        "web1": ("10.0.0.1", ("app",)),
        "web2": ("10.0.0.2", ("build",)),
    }


def test_files_have_the_last_word_about_hosts_from_elsewhere(here: Path) -> None:
    hosts = "groups: {late: }\nhosts:\n  build1: {roles: [build]}\n  web2: {group: late, port: 2222}\n"
    inventory = of_file({"web1": "10.0.0.1", "web2": {"address": "10.0.0.2", "port": 22}}, hosts)
    assert [*inventory.hosts] == ["web1", "web2", "build1"]
    web2 = inventory.hosts["web2"]
    assert (web2.address, web2.port, web2.group) == ("10.0.0.2", 2222, "late")


def test_nothing_after_hosts_does_not_take_the_hosts_of_a_source_away(here: Path) -> None:
    assert [*of_file({"web1": "10.0.0.1"}, "hosts:\n").hosts] == ["web1"]


def test_sources_are_merged_and_an_entry_gives_roles_and_a_group_to_its_hosts(here: Path) -> None:
    (here / "a.json").write_text('{"web1": "10.0.0.1", "job1": {"address": "10.0.0.3", "group": "odd"}}')
    (here / "b.json").write_text('{"b1": null}')
    text = "hosts_from:\n  - {file: a.json, group: web}\n  - {command: cat b.json, roles: [build]}\n"
    text += "groups: {web: , odd: }\n"
    hosts = reading(text).inventory.hosts
    assert {name: host.group for name, host in hosts.items()} == {"web1": "web", "job1": "odd", "b1": None}
    assert hosts["b1"].roles == ("build",)


def test_a_source_of_an_extended_file_starts_in_that_files_directory(here: Path) -> None:
    (here / "common").mkdir()
    (here / "common" / "_base.yml").write_text("hosts_from: [{command: cat h.json}]\n")
    (here / "common" / "h.json").write_text('{"web1": "10.0.0.1"}')
    assert [*reading("extends: common/_base.yml\n").inventory.hosts] == ["web1"]


def test_a_host_that_a_source_no_longer_names_is_simply_gone(here: Path) -> None:
    assert [*of_file({"web1": "10.0.0.1", "web2": "10.0.0.2"}).hosts] == ["web1", "web2"]
    assert [*of_file({"web2": "10.0.0.2"}).hosts] == ["web2"]


def test_each_value_knows_its_source_and_its_place_in_the_json(here: Path) -> None:
    (here / "h.json").write_text('{"web1": {"address": "10.0.0.1"}, "a/b": 1}'.replace(', "a/b": 1', ""))
    tree = reading("hosts_from: [{command: TOKEN=hunter2 cat h.json | cat}]\nhosts: {web1: {port: 23}}\n").tree
    node: Any = tree
    at = node.entries["hosts"].entries["web1"].entries
    assert str(at["address"].origin) == "hosts_from.0 (cat …): /web1/address"
    assert str(at["port"].origin) == "x.yml:4"


# Ansible: a program that prints what `ansible-inventory --list` does; tests/unit/inventory/test_ansible.py has the real

LISTED = {
    "_meta": {
        "hostvars": {
            "web1": {
                "ansible_host": "10.0.0.1",
                "ansible_port": "2222",
                "ansible_ssh_common_args": "-o ProxyCommand=x",
            },
            "web2": {"ansible_host": "10.0.0.2", "ansible_port": 22},
        }
    },
    "all": {"children": ["ungrouped", "web", "db"]},
    "web": {"children": ["eu"], "hosts": ["web1"]},
    "eu": {"hosts": ["web2", "web3"], "children": ["web"]},
    "db": {"hosts": ["db1"]},
}


def as_ansible(here: Path, monkeypatch: pytest.MonkeyPatch, listed: Any = LISTED) -> None:
    (here / "listed.json").write_text(json.dumps(listed))
    (here / "bin").mkdir()
    (here / "hosts.ini").touch()
    program(here / "bin" / "ansible-inventory", f'#!/bin/sh\necho "$@" >{here}/asked\ncat {here}/listed.json\n')
    monkeypatch.setenv("PATH", f"{here}/bin:{os.environ['PATH']}")


def test_a_group_of_ansible_has_its_hosts_and_those_of_its_children(here: Path, monkeypatch: Any) -> None:
    as_ansible(here, monkeypatch)
    text = "hosts_from: [{ansible: {inventory: hosts.ini, group: web}, group: w}]\ngroups: {w: }\n"
    hosts = reading(text).inventory.hosts
    assert {name: (host.address, host.port, host.group) for name, host in hosts.items()} == {
        "web1": ("10.0.0.1", 2222, "w"),
        "web2": ("10.0.0.2", 22, "w"),
        "web3": (None, None, "w"),
    }
    assert (here / "asked").read_text() == f"-i {here / 'hosts.ini'} --list\n"


def test_a_link_to_ansibles_inventory_keeps_its_name(here: Path, monkeypatch: Any) -> None:
    """A script may be an inventory of what the link is named after, as script/ansible-inventory is."""
    as_ansible(here, monkeypatch)
    (here / "link").symlink_to("hosts.ini")
    (here / "a").mkdir()
    assert reading("hosts_from: [{ansible: {inventory: a/../link, group: web}}]\n").inventory.hosts
    assert (here / "asked").read_text() == f"-i {here / 'link'} --list\n"


def test_a_group_that_ansible_does_not_have_lists_what_there_is(here: Path, monkeypatch: Any) -> None:
    as_ansible(here, monkeypatch)
    found = refusal("hosts_from: [{ansible: {inventory: hosts.ini, group: wbe}}]\n")
    assert found.message == (
        'hosts_from.0 (wbe of hosts.ini): expected a group of Ansible\'s inventory, found "wbe"; did you mean "web"?'
    )
    assert found.hint == "there is: all, web, eu, db"


def test_a_template_or_an_option_in_ansibles_variables_is_no_address(here: Path, monkeypatch: Any) -> None:
    listed = {"_meta": {"hostvars": {"w": {"ansible_host": "{{ lookup('pipe', 'id') }}"}}}, "all": {"hosts": ["w"]}}
    as_ansible(here, monkeypatch, listed)
    found = refusal("hosts_from: [{ansible: {inventory: hosts.ini}}]\n")
    assert found.message.startswith(
        "hosts_from.0 (all of hosts.ini): /_meta/hostvars/w/ansible_host: hosts.w.address: expected a host name or an"
    )


def test_ansible_that_is_not_there_is_one_message(here: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(here))
    (here / "hosts.ini").touch()
    found = refusal("hosts_from: [{ansible: {inventory: hosts.ini}}]\n", Refused)
    assert found.message == (
        "x.yml:3: hosts_from.0 (all of hosts.ini): ansible-inventory cannot be started: No such file or directory"
    )
    assert (
        "expected Ansible's inventory, found no such file: no.ini"
        in refusal("hosts_from: [{ansible: {inventory: no.ini}}]\n").message
    )


# Answers that are refused

ORIGIN = "hosts_from.0 (hosts.json)"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", f"{ORIGIN}: expected JSON, found nothing"),
        ("<html>", f"{ORIGIN}: expected JSON, found a fault on line 1 (Expecting value)"),
        ('{"a": "1",}', f"{ORIGIN}: expected JSON, found a fault on line 1"),
        ('{"a": NaN}', f"{ORIGIN}: expected JSON, found NaN, which is no number of JSON"),
        ('{"a": "b", "a": "c"}', f'{ORIGIN}: expected JSON, found the key "a" twice'),
        ("[" * 100_000, f"{ORIGIN}: expected JSON, found a number or a nesting beyond all reason"),
        ("1" * 5000, f"{ORIGIN}: expected JSON, found a number or a nesting beyond all reason"),
        ("[]", f"{ORIGIN}: expected an object with hosts by name, found another value"),
        ('"web1"', f"{ORIGIN}: expected an object with hosts by name, found another value"),
        ({"web1": 5}, f"{ORIGIN}: /web1: hosts.web1.address: expected a host name or an IP address"),
        ({"web1": ["10.0.0.1"]}, f"{ORIGIN}: /web1: hosts.web1.address: expected a host name or an IP address"),
        ({"web1": "-oProxyCommand=id"}, f"{ORIGIN}: /web1: hosts.web1.address: expected a host name or an IP"),
        ({"web1": "$(id)"}, f"{ORIGIN}: /web1: hosts.web1.address: expected a host name or an IP address"),
        ({"web1": "a" * 300}, f"{ORIGIN}: /web1: hosts.web1.address: expected a host name or an IP address"),
        ({"web1; id": "10.0.0.1"}, f'{ORIGIN}: /web1; id: hosts."web1; id": expected a host\'s name'),
        ({"-web": "10.0.0.1"}, f"{ORIGIN}: /-web: hosts.-web: expected a host's name"),
        ({"a/b~": "10.0.0.1"}, f'{ORIGIN}: /a~1b~0: hosts."a/b~": expected a host\'s name'),
        ({"web1": {"port": 0}}, f"{ORIGIN}: /web1/port: hosts.web1.port: expected a port from 1 to 65535, found"),
        ({"web1": {"port": "22"}}, f"{ORIGIN}: /web1/port: hosts.web1.port: expected a port from 1 to 65535, found"),
        ({"web1": {"roles": ["root"]}}, f'{ORIGIN}: /web1/roles/0: hosts.web1.roles: expected "app", "build" or'),
        ({"web1": {"env": {"A": "b"}}}, f"{ORIGIN}: /web1/env: hosts.web1.env: an unknown key"),
        ({"web1": {"secrets": {"A": {"command": "id"}}}}, f"{ORIGIN}: /web1/secrets: hosts.web1.secrets: an unknown"),
        ({"web1": {"name": "b"}}, f"{ORIGIN}: /web1/name: hosts.web1.name: an unknown key"),
        ({"b": {"roles": ["build"]}}, f'{ORIGIN}: hosts: expected at least one host with role "app", found b'),
        ({"web1": {"group": "w"}}, f'{ORIGIN}: /web1/group: hosts.web1.group: expected a group of this environment'),
        ({}, f'{ORIGIN}: hosts: expected at least one host with role "app", found no host at all'),
        ({"a": "10.0.0.1", "b": "10.0.0.1"}, f"{ORIGIN}: /b: hosts.b.address: expected a machine once, found"),
        (dict.fromkeys(map(str, range(MOST_HOSTS + 1)), "a"), f"{ORIGIN}: expected at most {MOST_HOSTS} hosts, found"),
    ],
    ids=range(28),
)  # fmt: skip
def test_an_answer_that_does_not_fit_names_the_source_and_the_place(here: Path, document: Any, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        of_file(document)
    assert caught.value.message.startswith(message)
    assert caught.value.code == 2
    assert caught.value.hint


def test_bytes_that_are_no_text_are_refused(here: Path) -> None:
    (here / "hosts.json").write_bytes(b'{"web1": "\xff"}')
    found = refusal("hosts_from: [{file: hosts.json}]\n")
    assert found.message == "x.yml:3: hosts_from.0 (hosts.json): expected UTF-8, found something else at byte 10"


def test_two_sources_that_contradict_each_other_are_both_named(here: Path) -> None:
    (here / "a.json").write_text('{"web1": "10.0.0.1"}')
    (here / "b.json").write_text('{"web2": "10.0.0.1"}')
    found = refusal("hosts_from: [{file: a.json}, {file: b.json}]\n")
    assert found.message.startswith("hosts_from.1 (b.json): /web2: hosts.web2.address: expected a machine once")
    assert found.message.endswith("; see also hosts_from.0 (a.json): /web1: hosts.web1.address")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{}", "x.yml:3: hosts_from: expected exactly one of command, file and ansible, found none of them"),
        ("{command: a, file: b}", "x.yml:3: hosts_from: expected exactly one of command, file and ansible, found comm"),
        ("{file: no.json}", "x.yml:3: hosts_from.0: expected a file of hosts, cannot read no.json: No such file"),
        ("{file: .}", "x.yml:3: hosts_from.0: expected a file, found "),
        ("{comand: a}", 'x.yml:3: hosts_from.comand: an unknown key; did you mean "command"?'),
        ("{command: a, timeout: 0}", "x.yml:3: hosts_from.timeout: expected a number of seconds"),
        ("{ansible: {inventory: a, group: -x}}", "x.yml:3: hosts_from.ansible.group: expected a group of Ansible's"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_before_anything_runs(here: Path, entry: str, message: str) -> None:
    assert refusal(f"hosts_from: [{entry}]\n").message.startswith(message)


# Commands that fail


def test_a_command_that_fails_is_refused_with_its_own_last_words(here: Path) -> None:
    found = refusal("hosts_from: [{command: 'echo no such workspace >&2; echo {}; exit 3'}]\n", Refused)
    assert found.message == ("x.yml:3: hosts_from.0 (echo …): it failed with status 3")
    assert found.details == ("no such workspace",)
    assert found.hint == f"run it by hand in {here} to see all of it"
    assert found.code == 3


def test_the_first_program_of_a_pipe_that_fails_has_the_last_word(here: Path) -> None:
    found = refusal("hosts_from: [{command: '(echo expired token >&2; exit 1) | cat'}]\n")
    assert found.message == "hosts_from.0 (a command): expected JSON, found nothing"
    assert found.details == ("expired token",)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(here: Path) -> None:
    command = "echo waiting >&2; sleep 600 & echo $! >child; wait"
    found = refusal(f"hosts_from: [{{command: '{command}', timeout: 0.3}}]\n", Refused)
    assert "expected a list of hosts within 0.3 s (`timeout`), found none" in found.message
    assert found.details == ("waiting",)
    child = int((here / "child").read_text())
    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in state(child))


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return "Z"


def test_a_command_that_leaves_a_process_behind_delays_nobody(here: Path) -> None:
    began = time.monotonic()
    (here / "h.json").write_text('{"web1": null}')
    text = "hosts_from: [{command: 'sleep 600 & echo $! >child; cat h.json', timeout: 100}]\n"
    assert [*reading(text).inventory.hosts] == ["web1"]
    assert time.monotonic() - began < LONG
    os.kill(int((here / "child").read_text()), signal.SIGKILL)


def test_output_without_end_fills_no_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warpbeam.inventory.ask.MOST_BYTES", 1 << 20)
    found = refusal("hosts_from: [{command: yes}]\n", Refused)
    assert "expected a list of hosts, found more than 1 MiB" in found.message


def test_a_command_reads_no_keyboard(here: Path) -> None:
    reads, writes = os.pipe()
    own = os.dup(0)
    os.dup2(reads, 0)
    try:
        # `cat` would wait for the end of our standard input, which does not come.
        found = refusal("hosts_from: [{command: 'cat; echo {}; exit 1', timeout: 20}]\n", Refused)
    finally:
        os.dup2(own, 0)
        for descriptor in (reads, writes, own):
            os.close(descriptor)
    assert "failed with status 1" in found.message


def test_a_source_is_asked_once_for_one_command_and_all_of_its_environments(here: Path) -> None:
    (here / "h.json").write_text('{"web1": "10.0.0.1"}')
    text = "hosts_from: [{command: 'echo x >>asked; cat h.json'}, {command: 'echo x >>asked; cat h.json'}]\n"
    answers: Answers = {}
    reading(text, answers)
    reading(text + "packages: [git]\n", answers)
    assert (here / "asked").read_text() == "x\n"
    reading(text)
    assert (here / "asked").read_text() == "x\nx\n"


def test_a_circle_is_seen_whatever_the_path_of_the_environment_holds(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = here / "a:b c"
    directory.mkdir()
    file = directory / "x.yml"
    file.write_text(
        f"{HEAD}hosts_from: [{{command: 'echo $WARPBEAM_HOSTS_FROM >>asked; echo {{}}'}}]\nhosts: {{w: }}\n"
    )
    read(file)
    monkeypatch.setenv(WAITING, (directory / "asked").read_text().strip())

    with pytest.raises(Refused, match="found a circle"):
        read(file)


def test_a_source_that_asks_the_environment_itself_is_a_circle(here: Path) -> None:
    again = f'{sys.executable} -c \'import sys; sys.path.insert(0, "{PROJECT}"); from pathlib import Path; '
    again += 'from warpbeam.inventory.read import read; read(Path("x.yml"))\''
    program(here / "again", f"#!/bin/sh\nexec {again}\n")
    found = refusal("hosts_from: [{command: ./again}]\n", Refused)
    assert any("found a circle: it asks this environment itself" in line for line in found.details)


@pytest.mark.parametrize(
    ("command", "title"),
    [
        ("terraform output -json hosts", "terraform …"),
        ("./list-hosts", "list-hosts"),
        ("TOKEN='a b' fetch", "a command"),
        ("A=1 && TOKEN=hunter2 fetch", "a command"),
        ("curl -u admin:hunter2 https://x", "curl …"),
        ("A=secret B=secret list  all\n  of them", "list …"),
        ("A=secret", "a command"),
    ],
)
def test_a_command_has_a_short_name_without_variables(command: str, title: str) -> None:
    assert host_source.title_of(HostsFrom(command=command)) == title


def test_a_source_is_read_as_any_other() -> None:
    assert HostSource.read.__annotations__["return"] == "Node"


# The document


def test_the_schema_in_docs_is_that_of_the_types() -> None:
    """`document_schema` of warpbeam/inventory/hosts_from.py makes it again."""
    assert SCHEMA.read_text() == document_schema()
    jsonschema.Draft202012Validator.check_schema(json.loads(document_schema()))


@pytest.mark.parametrize(
    ("document", "is_fit"),
    [
        ({}, True),
        ({"web1": "10.0.0.1", "web2": {"address": "fd00::1", "port": 22, "roles": ["app"], "group": "w"}}, True),
        ({"web1": {"address": None, "build": "b1", "roles": None, "group": None, "port": None}, "web2": None}, True),
        ({"web1": "$(id)"}, False),
        ({"web1": {"adress": "10.0.0.1"}}, False),
        ({"web1": {"port": "22"}}, False),
        ({"web 1": "10.0.0.1"}, False),
        ([], False),
    ],
)
def test_the_schema_and_the_reader_take_the_same(here: Path, document: Any, is_fit: bool) -> None:
    schema = json.loads(SCHEMA.read_text())
    assert jsonschema.Draft202012Validator(schema).is_valid(document) == is_fit
    hosts = "hosts: {b1: {roles: [build]}, web9: {}}\ngroups: {w: }\n"
    if is_fit:
        of_file(document, hosts)
    else:
        with pytest.raises(Misuse):
            of_file(document, hosts)


def test_the_page_has_every_key_of_an_entry_and_of_a_host() -> None:
    keys = [*HostsFrom.__struct_fields__, *host_source.FoundHosts.__annotations__, "inventory", "address", "port"]
    assert [key for key in keys if f"`{key}`" not in PAGE and f'"{key}"' not in PAGE] == []


# The command line


def fab(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "fabric", *words]
    environment = {**os.environ, "WARPBEAM_INVENTORY": str(directory)}
    return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_the_list_of_tasks_and_completion_ask_nobody_and_hosts_list_asks_once(here: Path) -> None:
    (here / "h.json").write_text('{"web1": {"address": "10.0.0.1", "group": "w"}}')
    text = HEAD + "hosts_from: [{command: 'echo x >>asked; cat h.json'}]\nhosts:\n  build1: {roles: [build]}\n"
    text += "groups: {w: }\n"
    (here / "production.yml").write_text(text)
    assert "production" in fab(here, "--list").stdout
    assert "production" in fab(here, "--complete", "--", "fab", "prod").stdout
    assert not (here / "asked").exists()

    done = fab(here, "production", "hosts.list", "--json", "hosts.list")

    assert done.returncode == 0, done.stderr
    rows = json.JSONDecoder().raw_decode(done.stdout)[0]
    assert rows == [
        {"host": "web1", "address": "10.0.0.1", "port": None, "roles": ["app"], "group": "w",
         "from": "hosts_from.0 (echo …): /web1/address"},
        {"host": "build1", "address": None, "port": None, "roles": ["build"], "group": None,
         "from": f"{here}/production.yml:5"},
    ]  # fmt: skip
    assert (here / "asked").read_text() == "x\n"
