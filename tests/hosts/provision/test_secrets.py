"""Secrets on real hosts: byte for byte in the app, nowhere else, and told apart without being told."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets as entropy
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.assertions import recorded_names
from tests.environment import PROJECT, LabEnvironment

FILE = "/etc/acme/hello/secrets.env"
HOSTS = ("web1", "web2")
# Where files of a moment might be made, and the names of those that may be there: none of them ever holds a value.
# What systemd makes for units that have a /tmp and a /dev of their own.
PRIVATE = r"systemd-private-.*|namespace-dev-\w+"
MADE = {
    "/tmp": PRIVATE,
    "/var/tmp": PRIVATE,
    "/dev/shm": r"",
    "/home/deploy": r"",
    "/home/admin": r"",
    "/root": r"",
    # The `.env` has a node's name, for root alone, until systemd reads it; `rest` is for an expression, for
    # root alone, and has no name any more before anything is in it.
    "/run": r"hello-(a|b|activate|eval-\d+|rest-\d+|rpc-\d+(\.env)?)|warpbeam-hello\.(filter\.)?lock"
    r"|motd\.dynamic\.new",
}
VALUES = {
    "ALL_OF_ASCII": "".join(map(chr, range(1, 128))) + "é€😀",
    "LINES": "one\ntwo\r\nthree\r\n\n",
    "QUOTES": "' \" ` $HOME ${x} $(id) `id` \\ \\\\ \\n \\\" ' # ; & | < > * ? [a] !x ~",
    "HASH": "# no comment",
    "BLANKS": " \t x \t ",
    "EMPTY": "",
    "BACKSLASH": "at the end\\",
    "ENTRY": 'x"\nLINES="y',
    "RAW": "\x1b[31m\a\b\f\v\x7f",
    "LARGEST": "€uro" * 20_000,
}


@pytest.fixture(autouse=True)
def as_it_was(environment: LabEnvironment) -> Iterator[None]:
    """Each test leaves the hosts without secrets, as the environment's own inventory has them."""
    yield
    environment.write()
    environment.fab("setup", "--restart")


def write(environment: LabEnvironment, values: dict[str, str]) -> dict[str, dict[str, str]]:
    """Write an inventory with these secrets, each in a file of its own; what it says of them."""
    directory = environment.directory / "secret"
    directory.mkdir(exist_ok=True)
    for name, value in values.items():
        (directory / name).write_bytes(value.encode())
    references = {name: {"file": str(directory / name)} for name in values}
    environment.write(secrets=references)
    return references


def inside(environment: LabEnvironment, host: str, names: list[str]) -> dict[str, str | None]:
    """Return the values of those variables in the running app on `host`."""
    words = " ".join(names)
    expression = f'for n <- ~w({words}), v = System.get_env(n), do: IO.puts(n <> " " <> Base.encode64(v))'
    said = environment.fab("rpc", "-", "--host", host, stdin=expression).stdout
    pairs = re.findall(r"^([A-Z_]+) (\S*)$", said, re.MULTILINE)
    return {name: base64.b64decode(value).decode() for name, value in pairs}


def entries(environment: LabEnvironment) -> dict[str, dict[str, object]]:
    """`secrets.list --json`, by secret or host."""
    rows = json.loads(environment.fab("secrets.list", "--json", expect=None).stdout)
    return {str(row.get("secret", row.get("host"))): row for row in rows}


def test_values_are_in_the_app_byte_for_byte_by_push_and_by_setup(environment: LabEnvironment) -> None:
    write(environment, VALUES)

    environment.fab("secrets.push", "--restart")

    for host in HOSTS:
        assert inside(environment, host, list(VALUES)) == VALUES
        assert environment.lab.ssh(host, f"sudo stat -c %U:%G:%a {FILE}").stdout == "root:root:600\n"
    # Setup would write the same, byte for byte, so it has nothing to change; and it writes that itself.
    environment.fab("setup", "--check")
    environment.lab.ssh("web1", f"sudo rm {FILE}")
    environment.fab("-H", "web1", "setup", "--restart")
    assert inside(environment, "web1", list(VALUES)) == VALUES


def test_a_secret_from_a_command_is_fetched_once_for_all_hosts_and_is_in_the_app(
    environment: LabEnvironment,
) -> None:
    store, asked = environment.directory / "store", environment.directory / "asked"
    asked.unlink(missing_ok=True)
    # `pass show` adds one line end of its own after a value that ends in one.
    store.write_text(f'#!/bin/sh\necho "$1" >>{asked}\nprintf \'kept: %s\\n\\n\' "$1"\n')
    environment.write(secrets={"KEPT": {"command": f"sh {store} 'shop key' | sed 's/^kept: /it is /'"}})

    environment.fab("setup", "--restart")

    assert asked.read_text() == "shop key\n"
    for host in HOSTS:
        assert inside(environment, host, ["KEPT"]) == {"KEPT": "it is shop key\n"}
        left = environment.lab.ssh(host, f"sudo grep -rls {store} /etc /opt/acme /run /usr/lib/warpbeam", check=False)
        assert left.stdout == ""
    environment.fab("setup", "--check")
    # One that fails touches nothing, and says which it was.
    environment.write(secrets={"KEPT": {"command": "echo its own words >&2; exit 3"}})
    refused = environment.fab("setup", expect=2)
    assert "its own words" in refused.stderr
    assert "secrets.KEPT: its command failed with status 3" in refused.stderr
    assert inside(environment, "web1", ["KEPT"]) == {"KEPT": "it is shop key\n"}


def test_push_changes_the_file_and_restarts_only_what_runs_with_earlier_ones(environment: LabEnvironment) -> None:
    write(environment, {"TOKEN": "one"})
    environment.fab("secrets.push", "--restart")
    before = {host: row["pid"] for host, row in environment.status().items()}

    again = environment.fab("secrets.push", "--restart")
    assert "web1: has 1 secret already" in again.stderr
    assert {host: row["pid"] for host, row in environment.status().items()} == before

    write(environment, {"TOKEN": "two"})
    told = environment.fab("-H", "web1", "secrets.push")
    assert "web1: 1 secret written" in told.stderr
    assert "web1: warning: the running app has the secrets of before" in told.stderr
    assert {host: row["pid"] for host, row in environment.status().items()} == before
    assert "the running app was started with earlier secrets" in str(entries(environment)["web1"]["problem"])
    assert inside(environment, "web1", ["TOKEN"]) == {"TOKEN": "one"}

    environment.fab("-H", "web1", "secrets.push", "--restart")
    after = {host: row["pid"] for host, row in environment.status().items()}
    assert after["web1"] != before["web1"]
    assert after["web2"] == before["web2"]
    assert inside(environment, "web1", ["TOKEN"]) == {"TOKEN": "two"}


def test_a_push_with_a_restart_changes_nothing_under_a_freeze_and_names_removals(
    environment: LabEnvironment,
) -> None:
    write(environment, {"KEPT": "one", "OLD": "one"})
    environment.fab("secrets.push", "--restart")
    before = environment.lab.ssh("web1", f"sudo stat -c '%i %Y' {FILE}").stdout
    write(environment, {"KEPT": "two"})

    with environment.frozen():
        refused = environment.fab("secrets.push", "--restart", expect=3)

    assert "quarter end" in refused.stderr
    assert "nothing was changed on any host" in refused.stderr
    assert environment.lab.ssh("web1", f"sudo stat -c '%i %Y' {FILE}").stdout == before
    # Without a restart no lock is needed, and the output says that the app has not changed yet.
    pushed = environment.fab("secrets.push").stderr
    assert "web1: 1 secret written, removed: OLD" in pushed
    assert inside(environment, "web1", ["KEPT", "OLD"]) == {"KEPT": "one", "OLD": "one"}


def test_a_setup_whose_restart_is_refused_says_that_the_hosts_have_changed(environment: LabEnvironment) -> None:
    write(environment, {"KEPT": "three"})
    with environment.frozen():
        failed = environment.fab("setup", "--restart", expect=4)

    assert (
        "error: setup is done, but the app still runs without that on web1, web2: web1: the deploy lock"
        in failed.stderr
    )
    assert "quarter end" in failed.stderr
    assert "nothing was changed" not in failed.stderr


def test_list_names_secrets_and_says_whether_hosts_agree_without_a_value(environment: LabEnvironment) -> None:
    write(environment, {"SAME": "planted-same", "LINES": "planted\nlines", "OTHER": "planted-one"})
    environment.fab("secrets.push", "--restart")
    done = environment.fab("secrets.list")
    assert "planted" not in done.stdout + done.stderr

    write(environment, {"SAME": "planted-same", "LINES": "planted\nlines", "OTHER": "planted-two", "NEVER": "x"})
    environment.fab("-H", "web2", "secrets.push", "--restart")
    write(environment, {"SAME": "planted-same", "OTHER": "planted-two", "NEVER": "x"})
    told = environment.fab("secrets.list", "--fetch", "--json", expect=5).stdout
    assert "planted" not in told
    rows = {row["secret"]: row for row in json.loads(told)}

    assert rows["SAME"] == {"secret": "SAME", "hosts": "web1, web2", "agree": True, "as here": True}
    assert "hosts have different values (web1 | web2)" in rows["OTHER"]["problem"]
    assert "web1 lacks it" in rows["NEVER"]["problem"]
    assert "not in the inventory" in rows["LINES"]["problem"]
    # A digest of one run says nothing in another: the key is new each time.
    assert not re.search(r"[0-9a-f]{8,}", told)


@pytest.mark.parametrize("raw", [b"a\0b", b"a\xffb", b"x" * 120_001], ids=["NUL", "not UTF-8", "too long"])
@pytest.mark.parametrize("verb", ["setup", "secrets.push"])
def test_what_systemd_cannot_hand_on_is_refused_before_anything_is_touched(
    environment: LabEnvironment, raw: bytes, verb: str
) -> None:
    before = environment.lab.ssh("web1", f"sudo stat -c '%y %i' {FILE}").stdout
    write(environment, {"BAD": ""})
    (environment.directory / "secret" / "BAD").write_bytes(raw)

    refused = environment.fab(verb, expect=2)

    assert "secrets.BAD: the value " in refused.stderr
    assert environment.lab.ssh("web1", f"sudo stat -c '%y %i' {FILE}").stdout == before


def test_an_app_without_its_file_of_secrets_does_not_start(environment: LabEnvironment) -> None:
    write(environment, {"TOKEN": "one"})
    environment.fab("secrets.push", "--restart")
    slot = environment.status()["web2"]["slot"]
    environment.lab.ssh("web2", f"sudo mv {FILE} /root/")
    try:
        done = environment.lab.ssh("web2", f"sudo systemctl restart hello@{slot}", check=False)
        assert done.returncode != 0
        assert (
            "environment file" in environment.lab.ssh("web2", f"sudo journalctl -u hello@{slot} -n 20").stdout.lower()
        )
        assert "web2 lacks it" in str(entries(environment)["TOKEN"]["problem"])
    finally:
        environment.lab.ssh("web2", f"sudo mv /root/secrets.env {FILE}; sudo systemctl restart hello@{slot}")


@contextmanager
def process_lists(*tokens: str, but: int) -> Iterator[list[str]]:
    """While this lasts, every process of this machine and of the lab's hosts is looked at; what holds a token.

    In its arguments none may have one; in its environment only those of the user `but`, and root's of the app's unit
    (systemd.exec(5): what it runs after the app has the app's environment, and root has the file too). The hosts'
    processes are this machine's too, by the same numbers of users, so one look sees them all.
    """
    found: list[str] = []
    done = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        while not done.wait(0.02):
            looks += 1
            for process in os.scandir("/proc"):
                if not process.name.isdigit():
                    continue
                with suppress(OSError):
                    line = Path(process.path, "cmdline").read_bytes()
                    held = any(token.encode() in line for token in tokens)
                    if not held and (owner := process.stat().st_uid) != but:
                        variables = Path(process.path, "environ").read_bytes()
                        held = any(token.encode() in variables for token in tokens)
                        # Between the two it may have become the app.
                        held = held and process.stat().st_uid == owner
                        if held and owner == 0:
                            held = "/hello@" not in Path(process.path, "cgroup").read_text()
                    if held:
                        found.append(line.decode("utf-8", "replace"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
    assert looks > 50


def test_a_planted_secret_is_in_no_output_log_process_list_or_temporary_file(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    token = f"planted{entropy.token_hex(8)}"
    # Long enough that a pipe does not hold it: bash would put a here-string of that size into a file.
    value = f"{token}\n'\"$(x)\\ " * 4000
    asked = f"asked{entropy.token_hex(8)}"
    write(environment, {"PLANTED": value[:119_000]})
    variables = {"TMPDIR": str(tmp_path)}
    environment.version(f"7.{entropy.randbelow(10**6)}.0")
    said = []
    (app,) = {int(environment.lab.ssh(host, "id -u hello").stdout) for host in HOSTS}
    with ExitStack() as stack:
        seen = stack.enter_context(process_lists(token, asked, but=app))
        made = {place: stack.enter_context(recorded_names(environment.lab, place, *HOSTS)) for place in MADE}
        for words in (
            ("--echo", "setup", "--check", "--diff"),
            ("--echo", "-d", "setup", "--restart"),
            ("--echo", "build-on-host"),
            ("--echo", "-d", "deploy"),
            ("--echo", "secrets.push"),
            ("--echo", "secrets.list", "--fetch"),
            ("--echo", "doctor"),
            ("--echo", "status"),
        ):
            core = [word for word in words if word in ("--echo", "-d")]
            argv = [environment.argv()[0], *core, "stage", *words[len(core) :]]
            done = subprocess.run(
                argv, capture_output=True, text=True, cwd=PROJECT, env={**environment.environ, **variables}, check=False
            )
            assert done.returncode in (0, 5), done.stderr
            said.append(done.stdout + done.stderr)
        # An exception in the middle: a host that cannot take it.
        environment.lab.ssh("web2", "sudo chmod 755 /etc/acme/hello")
        failing = [environment.argv()[0], "--echo", "-d", "stage", "secrets.push"]
        done = subprocess.run(
            failing, capture_output=True, text=True, cwd=PROJECT, env={**environment.environ, **variables}, check=False
        )
        assert done.returncode == 4, done.stderr
        assert "Traceback" in done.stderr
        said.append(done.stdout + done.stderr)
        environment.lab.ssh("web2", "sudo chmod 700 /etc/acme/hello")
        answer = environment.fab("rpc", "-", stdin=f'"{asked}" && System.get_env("PLANTED") |> String.length()').stdout
        assert answer.strip() == str(len(value[:119_000]))
        answer = environment.fab("eval", "-", stdin=f'"{asked}" && System.get_env("PLANTED") |> String.length()').stdout
        assert answer.splitlines()[-1] == str(len(value[:119_000]))
    assert not any(token in text for text in said)
    other = [
        f"{place}/{name}"
        for place, names in made.items()
        for host in names().values()
        for name in host
        if not re.fullmatch(MADE[place], name)
    ]
    assert (seen, other) == ([], [])
    # Copies: on this machine only the file it came from, on a host only the one that it is for.
    here = subprocess.run(
        ["grep", "-rls", token, str(tmp_path), str(PROJECT / ".warpbeam"), str(environment.directory)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert here == [str(environment.directory / "secret" / "PLANTED")]
    for host in HOSTS:
        look = (
            f"grep -rls --exclude-dir=proc --exclude-dir=sys --devices=skip {token} / ; "
            f"journalctl --no-pager --output=export | grep -c -e {token} -e {asked}; "
            f"dmesg 2>/dev/null | grep -c {token}; true"
        )
        # On standard input, because sudo writes the command it runs into the journal.
        told = environment.lab.ssh(host, "sudo sh -s", stdin=look).stdout.split()
        assert [line for line in told if line != "0"] == [FILE], told
        shown = environment.lab.ssh(host, "systemctl show hello@a hello@b; sudo -n -l; ps axe", user="deploy").stdout
        assert token not in shown
