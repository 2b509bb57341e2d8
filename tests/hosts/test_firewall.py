"""The redirect of the public port, and what it leaves alone."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.stage import Stage

HOST = "web2"
OWN_TABLE = """
table inet theirs {
    chain input {
        type filter hook input priority 10; policy accept;
        tcp dport 12345 drop
    }
}
"""

# What loads our table again runs in a job of its own, after that of nftables.
WAIT_FOR_TABLE = "for i in $(seq 100); do sudo nft list table inet warpbeam_hello && break; sleep 0.1; done"


@pytest.fixture
def own_rules(stage: Stage) -> Iterator[str]:
    """A table that the host's owner keeps in /etc/nftables.conf, loaded; gives the command that lists it."""
    conf = "/etc/nftables.conf"
    stage.lab.ssh(HOST, f"sudo cp {conf} /root/before && sudo tee -a {conf}", stdin=OWN_TABLE)
    stage.lab.ssh(HOST, "sudo systemctl reload-or-restart nftables")
    yield "sudo nft list table inet theirs"
    # Not stopped: that takes hello.service down with it, which is what PartOf= is for.
    stage.lab.ssh(HOST, f"sudo mv /root/before {conf}; sudo systemctl reload nftables")


def answers(stage: Stage, address: str, port: int = 80) -> bool:
    """Whether the app answers there, from outside."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (TimeoutError, urllib.error.URLError, ConnectionError):
        return False


def outside(stage: Stage) -> list[bool]:
    """Whether port 80 answers by IPv4 and IPv6, from outside."""
    return [answers(stage, stage.lab.address(HOST)), answers(stage, f"[{stage.lab.address6(HOST)}]")]


def leads(stage: Stage) -> dict[str, object]:
    """The row of `firewall.status` for our host."""
    rows = json.loads(stage.fab("-H", HOST, "firewall.status", "--json").stdout)
    return dict(rows[0])


def test_port_80_answers_from_outside_and_from_the_host_itself_in_both_families(stage: Stage) -> None:
    assert outside(stage) == [True, True]
    for address in ("127.0.0.1", "[::1]", stage.lab.address(HOST), f"[{stage.lab.address6(HOST)}]"):
        assert stage.lab.ssh(HOST, f"curl -gsS --max-time 3 'http://{address}/health'").stdout.strip() == "ok"


def test_the_slots_own_ports_are_closed_to_the_outside(stage: Stage) -> None:
    for address in (stage.lab.address(HOST), stage.lab.address6(HOST)):
        for port in (4001, 4002):
            with pytest.raises(TimeoutError):
                socket.create_connection((address, port), timeout=0.7)


def test_the_redirect_survives_a_reload_and_a_restart_of_the_systems_rules(stage: Stage, own_rules: str) -> None:
    for verb in ("reload", "restart"):
        stage.lab.ssh(HOST, f"sudo systemctl {verb} nftables")
        stage.lab.ssh(HOST, WAIT_FOR_TABLE)
        assert outside(stage) == [True, True], verb
        assert "12345" in stage.lab.ssh(HOST, own_rules).stdout
    assert stage.status()[HOST]["health"] == "healthy"


def test_the_redirect_survives_a_start_of_the_systems_rules_where_they_were_not_loaded(stage: Stage) -> None:
    # As on a Debian whose nftables.service nobody has enabled: hello.service is active, nftables.service is not.
    stage.lab.ssh(HOST, "sudo systemctl stop nftables && sudo systemctl start hello")
    try:
        assert outside(stage) == [True, True]
        for _ in range(2):
            flushed = stage.lab.ssh(
                HOST, "sudo systemctl start nftables; systemctl is-active nftables hello; " + WAIT_FOR_TABLE
            )
            assert flushed.stdout.split()[:2] == ["active", "active"]
            assert outside(stage) == [True, True]
            stage.lab.ssh(HOST, "sudo systemctl stop nftables && sudo systemctl start hello")
    finally:
        stage.lab.ssh(HOST, "sudo systemctl start nftables hello")


def test_clearing_and_applying_touch_no_other_table_and_a_deploy_works_meanwhile(stage: Stage, own_rules: str) -> None:
    theirs = stage.lab.ssh(HOST, own_rules).stdout
    cleared = stage.fab("-H", HOST, "firewall.clear")
    try:
        assert "port 80 leads nowhere" in cleared.stderr
        assert outside(stage) == [False, False]
        row = leads(stage)
        assert (row["leads to"], row["at boot"]) == ("nowhere", "no")
        stage.fab("-H", HOST, "restart")
        assert stage.status()[HOST]["health"] == "healthy"
        assert outside(stage) == [False, False]
        assert stage.lab.ssh(HOST, own_rules).stdout == theirs
    finally:
        applied = stage.fab("-H", HOST, "firewall.apply")
    live = stage.status()[HOST]["slot"]
    assert f"port 80 leads to slot {live} (port {4001 if live == 'a' else 4002})" in applied.stderr
    assert outside(stage) == [True, True]
    assert "problem" not in leads(stage)
    assert stage.lab.ssh(HOST, own_rules).stdout == theirs


def test_the_redirect_is_there_after_a_reboot(stage: Stage) -> None:
    stage.lab.crash(HOST)
    stage.lab.boot(HOST)
    stage.fab("-H", HOST, "start")

    assert outside(stage) == [True, True]
    assert leads(stage)["at boot"] == "yes"
