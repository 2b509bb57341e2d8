"""Names of processes: a name that a program gives itself does not hide it, and hides nothing else."""

from __future__ import annotations

import json

import pytest

from tests.attack import HOST
from tests.environment import LabEnvironment
from tests.foreign_listener import await_foreign_listener

PORTS = {"a": 4001, "b": 4002}
PROGRAM = """
use Socket; alarm 120;
socket(my $s, AF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, pack_sockaddr_in($ARGV[0], INADDR_ANY)) or die "$!"; listen($s, 5) or die;
open(my $comm, '>', '/proc/self/comm') or die; syswrite($comm, $ARGV[1]); close($comm);
sleep 120;
"""
# Fifteen bytes at most; `ss` shows them as they are.
NAMES = {
    "a line end": "a\nb c",
    "another line": "\nLISTEN 0 0 *:1",
    "the app's number": "x)) uid:{uid} ",
    "root's process": 'a",pid=1,fd=3))',
    "no owner": ")) ino:1 sk:1 ",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_program_calls_itself_hides_nothing_from_doctor(environment: LabEnvironment, name: str) -> None:
    port = PORTS["b" if environment.status()[HOST]["slot"] == "a" else "a"]
    uid = environment.lab.ssh(HOST, "id -u hello").stdout.strip()
    word = NAMES[name].format(uid=uid)
    environment.lab.ssh(HOST, "cat >/tmp/named.pl && chmod 644 /tmp/named.pl", stdin=PROGRAM)
    run = f'sudo setpriv --reuid=nobody --regid=nogroup --clear-groups perl /tmp/named.pl {port} "${{word%.}}"'
    # A substitution of the shell takes line ends away.
    environment.lab.ssh(HOST, f"word=$(cat; echo .); ({run} </dev/null >/dev/null 2>&1 &)", stdin=word)
    try:
        await_foreign_listener(environment.lab, "nobody", port)
        told = environment.fab("doctor", "--json", expect=None).stdout
    finally:
        environment.lab.ssh(HOST, "sudo pkill -KILL -f /tmp/named.pl; rm -f /tmp/named.pl", check=False)

    rows = {row["check"]: row for row in json.loads(told) if row["host"] == HOST}
    assert rows["sudo"]["ok"], rows["sudo"]
    assert not rows["ports"]["ok"]
    assert f"has port {port}" in rows["ports"]["found"]
    assert {"logins", "firewall", "limits"} <= set(rows)


def test_no_name_of_an_app_makes_its_table_that_of_another_app(environment: LabEnvironment) -> None:
    shown = "sudo nft --stateless --terse list table inet warpbeam_hello_guard"
    before = environment.lab.ssh(HOST, shown).stdout
    ports = {"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103}
    users = {"admin": "admin", "deploy": "shopkeeper"}

    with environment.another("shop", app="hello_guard", release="hello", users=users, http=ports):
        done = environment.fab("setup", inventory="shop", expect=2)

    assert "expected a name that does not end in _guard" in done.stderr
    assert environment.lab.ssh(HOST, shown).stdout == before
