"""The redirect of the public port, and what it leaves alone."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.attack import HELPER, ROOT
from tests.background import await_end, running_fab
from tests.environment import LabEnvironment
from tests.timeouts import ANSWER

HOST = "web2"
OWN_TABLE = """
table inet theirs {
    chain input {
        type filter hook input priority 10; policy accept;
        tcp dport 12345 drop
    }
}
"""

# Our table is loaded again by a job of its own, after that of nftables.
WAIT_FOR_TABLE = "for i in $(seq 100); do sudo nft list table inet warpbeam_hello && break; sleep 0.1; done"


@pytest.fixture
def own_rules(environment: LabEnvironment) -> Iterator[str]:
    """A table that the host's owner keeps in /etc/nftables.conf, loaded; gives the command that lists it."""
    conf = "/etc/nftables.conf"
    environment.lab.ssh(HOST, f"sudo cp {conf} /root/before && sudo tee -a {conf}", stdin=OWN_TABLE)
    environment.lab.ssh(HOST, "sudo systemctl reload-or-restart nftables")
    yield "sudo nft list table inet theirs"
    environment.lab.ssh(HOST, f"sudo mv /root/before {conf}; sudo systemctl reload nftables; " + WAIT_FOR_TABLE)


def answers(environment: LabEnvironment, address: str, port: int = 80) -> bool:
    """Return whether the app answers there, from outside."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except (TimeoutError, urllib.error.URLError, ConnectionError):
        return False


def outside(environment: LabEnvironment) -> list[bool]:
    """Return whether port 80 answers by IPv4 and IPv6, from outside."""
    return [
        answers(environment, environment.lab.address(HOST)),
        answers(environment, f"[{environment.lab.address6(HOST)}]"),
    ]


def leads(environment: LabEnvironment) -> dict[str, object]:
    """The row of `firewall.status` for our host."""
    rows = json.loads(environment.fab("-H", HOST, "firewall.status", "--json").stdout)
    return dict(rows[0])


def test_port_80_answers_from_outside_and_from_the_host_itself_in_both_families(environment: LabEnvironment) -> None:
    assert outside(environment) == [True, True]
    for address in ("127.0.0.1", "[::1]", environment.lab.address(HOST), f"[{environment.lab.address6(HOST)}]"):
        assert environment.lab.ssh(HOST, f"curl -gsS --max-time 3 'http://{address}/health'").stdout.strip() == "ok"


def test_the_slots_own_ports_are_closed_to_the_outside(environment: LabEnvironment) -> None:
    for address in (environment.lab.address(HOST), environment.lab.address6(HOST)):
        for port in (4001, 4002):
            with pytest.raises(TimeoutError):
                socket.create_connection((address, port), timeout=0.7)


def test_the_redirect_survives_a_reload_and_a_restart_of_the_systems_rules(
    environment: LabEnvironment, own_rules: str
) -> None:
    for verb in ("reload", "restart"):
        environment.lab.ssh(HOST, f"sudo systemctl {verb} nftables")
        environment.lab.ssh(HOST, WAIT_FOR_TABLE)
        assert outside(environment) == [True, True], verb
        assert "12345" in environment.lab.ssh(HOST, own_rules).stdout
    assert environment.status()[HOST]["health"] == "healthy"


def test_the_redirect_survives_the_first_start_of_the_systems_rules(
    environment: LabEnvironment,
) -> None:
    # A Debian with nftables.service not enabled: hello.service is active, nftables.service is not.
    environment.lab.ssh(HOST, "sudo systemctl stop nftables && sudo systemctl reload hello")
    try:
        assert outside(environment) == [True, True]
        for _ in range(2):
            flushed = environment.lab.ssh(
                HOST, "sudo systemctl start nftables; systemctl is-active nftables hello; " + WAIT_FOR_TABLE
            )
            assert flushed.stdout.split()[:2] == ["active", "active"]
            assert outside(environment) == [True, True]
            environment.lab.ssh(HOST, "sudo systemctl stop nftables && sudo systemctl reload hello")
    finally:
        environment.lab.ssh(HOST, "sudo systemctl start nftables hello")


def test_an_activation_that_fails_leaves_the_public_port_leading_to_what_is_live(environment: LabEnvironment) -> None:
    before = leads(environment)["leads to"]
    # A job that does nothing; meanwhile somebody has flushed all rules.
    environment.lab.ssh(HOST, f"echo false >{ROOT}/activation/job", "deploy")
    environment.lab.ssh(HOST, "sudo nft delete table inet warpbeam_hello")

    environment.lab.ssh(HOST, f"sudo -n {HELPER} activate", "deploy", check=False)

    assert leads(environment)["leads to"] == before
    assert outside(environment) == [True, True]


def test_a_reconcile_by_the_old_link_in_an_activation_does_not_keep_the_public_port(
    environment: LabEnvironment,
) -> None:
    live = environment.status()[HOST]["slot"]
    # The job waits at the sync that precedes the rename of `current`, when the redirect has been moved.
    waits = f"""sudo rm -f /tmp/moved /tmp/go; sudo install -m 755 /dev/stdin /usr/local/bin/sync <<'SH'
#!/bin/bash
/usr/bin/sync "$@"
if [[ ${{*: -1}} == {ROOT}/releases ]]; then : >/tmp/moved; until [[ -e /tmp/go ]]; do sleep 0.02; done; fi
SH"""
    environment.lab.ssh(HOST, waits)
    try:
        with running_fab(environment, "-H", HOST, "restart", until=f"{HOST}: current") as restart:
            environment.lab.ssh(HOST, "until [ -e /tmp/moved ]; do sleep 0.05; done")
            leads_to = environment.lab.ssh(
                HOST, f"sudo {HELPER} reconcile; sudo nft list table inet warpbeam_hello"
            ).stdout
            # It went by the link, which still leads to the old instance.
            assert f":{4001 if live == 'a' else 4002}" in leads_to
            environment.lab.ssh(HOST, "touch /tmp/go")
            assert await_end(restart)[0] == 0
    finally:
        environment.lab.ssh(HOST, "sudo rm -f /usr/local/bin/sync /tmp/moved; touch /tmp/go")

    assert environment.status()[HOST]["slot"] != live
    assert "problem" not in leads(environment)
    assert outside(environment) == [True, True]


def test_clearing_and_applying_touch_no_other_table_and_a_deploy_works_meanwhile(
    environment: LabEnvironment, own_rules: str
) -> None:
    theirs = environment.lab.ssh(HOST, own_rules).stdout
    cleared = environment.fab("-H", HOST, "firewall.clear")
    try:
        assert "port 80 leads nowhere" in cleared.stderr
        assert outside(environment) == [False, False]
        row = leads(environment)
        assert (row["leads to"], row["at boot"]) == ("nowhere", "no")
        environment.fab("-H", HOST, "restart")
        assert environment.status()[HOST]["health"] == "healthy"
        assert outside(environment) == [False, False]
        assert environment.lab.ssh(HOST, own_rules).stdout == theirs
    finally:
        applied = environment.fab("-H", HOST, "firewall.apply")
    live = environment.status()[HOST]["slot"]
    assert f"port 80 leads to slot {live} (port {4001 if live == 'a' else 4002})" in applied.stderr
    assert outside(environment) == [True, True]
    assert "problem" not in leads(environment)
    assert environment.lab.ssh(HOST, own_rules).stdout == theirs


def test_clearing_says_how_many_connections_it_cuts_and_cuts_them(environment: LabEnvironment) -> None:
    clients = [http.client.HTTPConnection(environment.lab.address(HOST), timeout=ANSWER) for _ in range(3)]
    try:
        assert [ask(client) for client in clients] == [200] * 3
        checked = environment.fab("-H", HOST, "firewall.clear", "--check")
        assert "firewall.clear would cut 3 open connections" in checked.stderr
        assert [ask(client) for client in clients] == [200] * 3

        cleared = environment.fab("-H", HOST, "firewall.clear")

        assert "this cuts 3 open connections" in cleared.stderr
        assert [ask(client) for client in clients] == [0] * 3
    finally:
        for client in clients:
            client.close()
        environment.fab("-H", HOST, "firewall.apply")


def ask(client: http.client.HTTPConnection) -> int:
    """The status that a connection which is open is answered, or 0."""
    client.auto_open = 0 if client.sock else 1
    try:
        client.request("GET", "/health")
        answer = client.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    return answer.status


def test_whatever_else_filters_is_named(environment: LabEnvironment, own_rules: str) -> None:
    assert leads(environment)["filters too"] == "table inet theirs"
    environment.lab.ssh(HOST, "sudo mkdir -p /etc/ufw && echo ENABLED=yes | sudo tee /etc/ufw/ufw.conf")
    try:
        applied = environment.fab("-H", HOST, "firewall.apply").stderr
    finally:
        environment.lab.ssh(HOST, "sudo rm -r /etc/ufw")
    assert "ufw, table inet theirs filter too" in " ".join(applied.split())
    assert "`ufw allow PORT/tcp` for the ports that public ones lead to (4001, 4002, 4003)" in " ".join(applied.split())


def test_firewalld_is_named_with_what_opens_the_ports_in_it(environment: LabEnvironment) -> None:
    # A stand-in: a unit of its name that runs, and the table that it keeps.
    table = OWN_TABLE.replace("theirs", "firewalld")
    environment.lab.ssh(HOST, "sudo systemd-run --quiet --unit=firewalld sleep infinity")
    environment.lab.ssh(HOST, "sudo nft -f -", stdin=table)
    try:
        assert leads(environment)["filters too"] == "firewalld, table inet firewalld"
        applied = " ".join(environment.fab("-H", HOST, "firewall.apply").stderr.split())
        theirs = environment.lab.ssh(HOST, "sudo nft list table inet firewalld").stdout
    finally:
        environment.lab.ssh(HOST, "sudo systemctl stop firewalld; sudo nft delete table inet firewalld")

    assert f"{HOST}: warning: firewalld, table inet firewalld filter too" in applied
    # --permanent alone is for the next start of it.
    assert "`firewall-cmd --permanent --add-port=PORT/tcp`, then `firewall-cmd --reload`" in applied
    assert "the ports that public ones lead to (4001, 4002, 4003)" in applied
    assert "12345" in theirs
    assert leads(environment).get("filters too", "") == ""


def test_a_host_that_is_down_hides_none_of_the_others(environment: LabEnvironment) -> None:
    environment.lab.crash(HOST)
    try:
        with environment.another("hasty", ssh={**environment.settings["ssh"], "connect_timeout": 3}):
            done = environment.fab("firewall.status", "--json", inventory="hasty", expect=3)
    finally:
        environment.lab.boot(HOST)
        environment.fab("-H", HOST, "start")

    rows = {row["host"]: row for row in json.loads(done.stdout)}
    assert rows["web1"]["leads to"] in ("4001", "4002")
    assert "did not answer" in rows[HOST]["problem"]
    assert done.stderr.splitlines()[-2].startswith(f"error: {HOST} (")


def test_a_host_without_nftables_is_reported_with_what_to_install(environment: LabEnvironment) -> None:
    environment.lab.ssh(HOST, "sudo mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        refused = environment.fab("-H", HOST, "firewall.status", expect=3)
        assert f"{HOST}: nftables is not installed" in refused.stderr
        assert "apt-get install nftables" in refused.stderr
        refused = environment.fab("-H", HOST, "setup", "--check", expect=3)
        assert "apt-get install" in refused.stderr
        assert "nftables" in refused.stderr
    finally:
        environment.lab.ssh(HOST, "sudo mv /usr/sbin/nft.away /usr/sbin/nft")


def test_a_host_has_room_for_the_inventorys_connections_or_says_that_it_has_not(
    environment: LabEnvironment,
) -> None:
    key = "net.netfilter.nf_conntrack_max"
    written = environment.lab.ssh(HOST, f"grep '^{key} ' /etc/sysctl.d/60-warpbeam-hello.conf").stdout
    assert written == f"{key} = 262144\n"
    has = int(environment.lab.ssh(HOST, f"sudo sysctl -n {key}").stdout)
    row = leads(environment)
    assert row["at most"] == has
    # The lab's hosts share the kernel of this machine, and may not change it.
    with environment.another("roomy", firewall={"tracked": has + 1}):
        rows = json.loads(environment.fab("-H", HOST, "firewall.status", "--json", inventory="roomy").stdout)
    assert f"the kernel tracks at most {has} connections; expected {has + 1}" in rows[0]["problem"]


def test_two_public_ports_move_together_from_slot_to_slot_and_into_maintenance(environment: LabEnvironment) -> None:
    environment.write(ports={"MORE_PORT": {"public": 8080, "slots": [4011, 4012]}})
    targets = [environment.lab.address(HOST), f"[{environment.lab.address6(HOST)}]"]

    def served() -> list[bool]:
        return [answers(environment, address, port) for address in targets for port in (80, 8080)]

    try:
        environment.fab("-H", HOST, "setup")
        for _ in "ab":
            environment.fab("-H", HOST, "restart")
            live = environment.status()[HOST]["slot"]
            assert served() == [True] * 4
            rows = json.loads(environment.fab("-H", HOST, "firewall.status", "--json").stdout)
            assert [(row["public"], row["leads to"]) for row in rows] == [
                (80, {"a": "4001", "b": "4002"}[live]),
                (8080, {"a": "4011", "b": "4012"}[live]),
            ]
            for port in (4011, 4012):
                with pytest.raises(TimeoutError):
                    socket.create_connection((environment.lab.address(HOST), port), timeout=0.7)
        environment.fab("-H", HOST, "maintenance.on")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((environment.lab.address(HOST), 8080), timeout=10)
        assert status_of(environment.lab.address(HOST)) == 503
        environment.fab("-H", HOST, "maintenance.off")
        assert served() == [True] * 4
    finally:
        environment.write()
        environment.fab("-H", HOST, "maintenance.off")
        environment.fab("-H", HOST, "setup")
        environment.fab("-H", HOST, "restart")
    assert outside(environment) == [True, True]


def status_of(address: str) -> int:
    """The status that port 80 answers."""
    client = http.client.HTTPConnection(address, timeout=ANSWER)
    client.request("GET", "/")
    return client.getresponse().status


def test_the_redirect_is_there_after_a_reboot(environment: LabEnvironment) -> None:
    environment.lab.crash(HOST)
    environment.lab.boot(HOST)
    environment.fab("-H", HOST, "start")

    assert outside(environment) == [True, True]
    assert leads(environment)["at boot"] == "yes"
