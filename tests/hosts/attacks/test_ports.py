"""A port number is no identity: who listens at one of the app's in its place is led no client, and is not healthy."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.attack import HELPER, HOST
from tests.background import eventually
from tests.environment import LabEnvironment
from tests.foreign_listener import ANSWER, RECEIVED, await_foreign_listener, foreign_listener
from tests.hosts.provision.test_identities import ROOT, call_helper
from tests.timeouts import ANSWER as AN_ANSWER
from tests.timeouts import LONG
from warpbeam.lab.client import ssh_argv

PORTS = {"a": 4001, "b": 4002}
PAGE_PORT = 4003
# Users: another app's, and a person's without an app.
STRANGERS = ("shop", "shopkeeper", "nobody")
LISTENERS: dict[str, dict[str, Any]] = {
    "IPv4": {},
    "IPv6": {"family": 6},
    "one address": {"address": "127.0.0.1"},
    # A connection without room in the queue gets a SYN cookie, which the kernel ascribes to no user.
    "no queue": {"backlog": 0},
    # IPPROTO_MPTCP: clients without it are served by plain TCP.
    "MPTCP": {"protocol": 262},
}


def root(environment: LabEnvironment, command: str) -> str:
    """Run a command on the host as root."""
    return environment.lab.ssh(HOST, "sudo bash -s", stdin=command).stdout


def live(environment: LabEnvironment) -> str:
    """The slot that is live on the host."""
    return root(environment, f"basename $(readlink {ROOT}/current)").strip()


def idle(environment: LabEnvironment) -> str:
    """The other one."""
    return "b" if live(environment) == "a" else "a"


@contextmanager
def stopped(environment: LabEnvironment) -> Iterator[int]:
    """The live instance is stopped meanwhile, and healthy again afterwards: the port that it does not have."""
    slot = live(environment)
    root(environment, f"systemctl stop hello@{slot}")
    try:
        yield PORTS[slot]
    finally:
        root(environment, f"systemctl start hello@{slot}")
        assert eventually(lambda: bool(environment.status()[HOST]["health"] == "healthy"))


def asked(address: str, port: int = 80, *, timeout: float = 3) -> str:
    """Return the answer that a client gets there; the error in its place if none comes for `timeout` seconds."""
    said = b""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while piece := connection.recv(4096):
                said += piece
    except OSError as error:
        return f"{said.decode()}{address}: {error!r}"
    return said.decode() or f"{address}: closed without an answer"


def clients(environment: LabEnvironment, count: int = 100, *, timeout: float = 3) -> list[str]:
    """Return the answers to so many clients at the public port, from outside, by IPv4 and IPv6, 20 at once."""
    addresses = (environment.lab.address(HOST), environment.lab.address6(HOST))
    with ThreadPoolExecutor(20) as pool:
        return [*pool.map(lambda number: asked(addresses[number % 2], timeout=timeout), range(count))]


def on_the_host(environment: LabEnvironment, port: int) -> str:
    """Return the answers to clients on the host itself: at the public port, and at the slot's."""
    urls = f"http://127.0.0.1/ http://[::1]/ http://127.0.0.1:{port}/ http://[::1]:{port}/"
    return root(environment, f"for url in {urls}; do curl -gsS -m 3 $url 2>&1; done || true")


def assert_nobody_gets_the_stranger(environment: LabEnvironment, port: int) -> None:
    """Fail unless clients from outside and on the host get another answer, or none."""
    got = [said for said in clients(environment) if ANSWER in said]
    assert not got, f"{len(got)} of 100 clients got the stranger"
    assert ANSWER not in on_the_host(environment, port)


def uid(environment: LabEnvironment, user: str) -> str:
    """The user's number."""
    return root(environment, f"id -u {user}").strip()


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_at_the_port_of_a_stopped_app_gets_no_client(
    environment: LabEnvironment, second_app: None, who: str
) -> None:
    with stopped(environment) as port, foreign_listener(environment.lab, who, port):
        await_foreign_listener(environment.lab, who, port)

        assert_nobody_gets_the_stranger(environment, port)
        told = environment.fab("status", "--json", expect=5).stdout

    assert f"port {port} is held by another user ({who}, uid {uid(environment, who)}), not by hello" in told


@pytest.mark.parametrize("how", LISTENERS)
def test_a_stranger_gets_no_client_however_it_listens(environment: LabEnvironment, second_app: None, how: str) -> None:
    with stopped(environment) as port, foreign_listener(environment.lab, "shopkeeper", port, **LISTENERS[how]):
        await_foreign_listener(environment.lab, "shopkeeper", port)

        assert_nobody_gets_the_stranger(environment, port)

    assert not [said for said in clients(environment) if '"app"' not in said and "200 OK" not in said]


def test_another_app_gets_no_client_from_inside_its_sandbox(environment: LabEnvironment, second_app: None) -> None:
    listen = """
        spawn(fn ->
          {:ok, listener} = :gen_tcp.listen(%d, [:binary, :inet6, active: false, reuseaddr: true])
          Enum.each(Stream.repeatedly(fn -> :gen_tcp.accept(listener) end), fn {:ok, client} ->
            :gen_tcp.recv(client, 0)
            :gen_tcp.send(client, "HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\n%s")
            :gen_tcp.close(client)
          end)
        end)
    """
    with stopped(environment) as port:
        try:
            environment.fab("rpc", listen % (port, ANSWER), inventory="shop")
            assert_nobody_gets_the_stranger(environment, port)
            assert environment.fab("status", expect=5)
        finally:
            environment.fab("restart", inventory="shop")


@pytest.mark.parametrize("family", [4, 6])
def test_a_deploy_is_not_led_to_a_stranger_that_has_the_idle_port(
    environment: LabEnvironment, second_app: None, family: int
) -> None:
    slot = idle(environment)
    before = environment.served(HOST)["version"]
    with foreign_listener(environment.lab, "shopkeeper", PORTS[slot], family=family):
        await_foreign_listener(environment.lab, "shopkeeper", PORTS[slot])

        done = environment.fab("-H", HOST, "restart", expect=4)
        said = call_helper(environment, "switch", f"{slot}\n")

        assert_nobody_gets_the_stranger(environment, PORTS[slot])
        assert environment.served(HOST)["version"] == before

    who = f"port {PORTS[slot]} is held by another user (shopkeeper, uid {uid(environment, 'shopkeeper')}), not by hello"
    assert who in done.stderr
    assert "is serving again, healthy" in done.stderr
    assert (said[0], who in said[1]) == (2, True), said
    assert environment.status()[HOST]["health"] == "healthy"


def test_the_old_release_is_not_healthy_where_a_stranger_has_taken_its_port(
    environment: LabEnvironment, second_app: None
) -> None:
    """With the strategy `restart` its port is free while the new one starts."""
    old, new = PORTS[live(environment)], PORTS[idle(environment)]
    with foreign_listener(environment.lab, "shopkeeper", old), foreign_listener(environment.lab, "nobody", new):
        await_foreign_listener(environment.lab, "nobody", new)

        done = environment.fab("-H", HOST, "restart", expect=4)

        assert_nobody_gets_the_stranger(environment, old)
        assert (
            f"port {old} is held by another user (shopkeeper, uid {uid(environment, 'shopkeeper')}), not by hello"
            in done.stderr
        )
        assert "healthy" not in done.stderr.replace("NOT healthy", "").replace("not healthy", "")
        assert environment.fab("status", "-H", HOST, expect=5)
    # An instance that has just ended by itself is not healthy yet.
    assert eventually(lambda: bool(environment.status()[HOST]["health"] == "healthy"))


def test_only_systemd_listens_for_the_maintenance_page(environment: LabEnvironment, second_app: None) -> None:
    try:
        with foreign_listener(environment.lab, "shopkeeper", PAGE_PORT):
            await_foreign_listener(environment.lab, "shopkeeper", PAGE_PORT)

            done = environment.fab("-H", HOST, "maintenance.on", expect=4)

            assert_nobody_gets_the_stranger(environment, PAGE_PORT)
            assert (
                f"port {PAGE_PORT} is held by another user (shopkeeper, uid {uid(environment, 'shopkeeper')})"
                in done.stderr
            )
        environment.fab("-H", HOST, "maintenance.on")
        assert all(said.startswith("HTTP/1.1 503 ") for said in clients(environment))
    finally:
        environment.fab("-H", HOST, "maintenance.off")


def test_the_border_comes_back_with_the_systems_rules_and_stays_without_the_redirect(
    environment: LabEnvironment,
) -> None:
    there = "nft list table inet warpbeam_hello_guard | grep -c 'skuid'"
    assert int(root(environment, there)) > 3

    root(environment, "nft flush ruleset; systemctl restart nftables")
    assert eventually(
        lambda: "hook output" in root(environment, f"{there} >/dev/null; nft list ruleset | grep 'filter hook o'")
    )
    environment.fab("-H", HOST, "firewall.clear")
    try:
        assert int(root(environment, there)) > 3
    finally:
        environment.fab("-H", HOST, "firewall.apply")
    assert environment.served(HOST)["version"]


def test_who_takes_the_port_of_an_app_that_ends_its_work_reads_no_request(
    environment: LabEnvironment, second_app: None
) -> None:
    """It has stopped listening, and still answers what it was asked before."""
    slot = live(environment)
    port = PORTS[slot]
    # Before it stops the app has lately agreed to connections from each address. (Rules that a test before this one had
    # flushed may be loaded once more.)
    assert eventually(lambda: not [said for said in clients(environment) if "200 OK" not in said])
    address = environment.lab.address(HOST)
    try:
        with foreign_listener(environment.lab, "shopkeeper", port, backlog=0):
            with socket.create_connection((address, 80), timeout=30) as busy:
                busy.sendall(b"GET /slow?ms=6000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                time.sleep(0.3)
                environment.lab.ssh(HOST, f"sudo -n {HELPER} stop <<<{slot} >/dev/null 2>&1 &", "deploy")
                await_foreign_listener(environment.lab, "shopkeeper", port)

                assert_nobody_gets_the_stranger(environment, port)

                assert b"200 OK" in busy.recv(4096)
            assert root(environment, f"cat {RECEIVED}") == ""
    finally:
        root(environment, f"systemctl start hello@{slot}")
        assert eventually(lambda: bool(environment.status()[HOST]["health"] == "healthy"))


# Connections from another host, none of which ever comes about: that host does not hear the answers.
FLOOD = """
import socket, sys
sockets = []
for number in range(int(sys.argv[2])):
    sockets.append(socket.socket())
    sockets[-1].setblocking(False)
    sockets[-1].connect_ex((sys.argv[1], 80))
print("FLOODING", flush=True)
sys.stdin.read()
"""
COUNT = 3000
DEAF = "table inet deaf { chain input { type filter hook input priority 0; tcp sport 80 tcp flags syn,ack drop; }; }"


@contextmanager
def flooded(environment: LabEnvironment) -> Iterator[None]:
    """Fill the queue of half-open connections to the app meanwhile; the kernel has given up on none of them."""
    lab = environment.lab
    lab.ssh("build1", f"echo '{DEAF}' | sudo nft -f - && sudo tee /tmp/flood.py >/dev/null", stdin=FLOOD)
    command = f"sudo prlimit --nofile={COUNT + 100} timeout 120 python3 /tmp/flood.py {lab.address(HOST)} {COUNT}"
    argv = (*ssh_argv(lab.name, "build1")[:-1], "-l", "admin", "-o", "BatchMode=yes", "build1", command)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "FLOODING\n"
            yield
        finally:
            process.communicate("", timeout=LONG)
            lab.ssh("build1", "sudo nft delete table inet deaf; sudo rm /tmp/flood.py")


def cookies_sent(environment: LabEnvironment) -> int:
    """Count the SYN cookies that the host has sent so far (proc(5), /proc/net/netstat: names, then numbers)."""
    names, numbers = (line.split() for line in root(environment, "grep ^TcpExt: /proc/net/netstat").splitlines())
    return int(numbers[names.index("SyncookiesSent")])


def test_a_flood_of_half_open_connections_keeps_no_client_out(environment: LabEnvironment) -> None:
    before = cookies_sent(environment)
    # The flood comes by IPv4; that the app answers by IPv6 too is known from before.
    assert not [said for said in clients(environment, 10, timeout=AN_ANSWER) if "200 OK" not in said]

    with flooded(environment):
        said = []
        # The app answers those in its queue less and less often.
        for _ in range(8):
            said += clients(environment, 10, timeout=AN_ANSWER)
            time.sleep(1)

    assert cookies_sent(environment) > before, "no cookie was needed"
    assert not [one for one in said if "200 OK" not in one]
