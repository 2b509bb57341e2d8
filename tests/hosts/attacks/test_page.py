"""Attacks on the maintenance page: slow connections, many at once and one after the other."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.environment import LabEnvironment
from warpbeam.lab.state import bridge_name, read_lab

HOST, OTHER = "web1", "web2"
MANY = 400
# A quarter of the page's places: what one source is given (warpbeam/network/redirect.py).
EACH = 64
# A slow client's request: a head that never ends.
SLOW = b"GET / HTTP/1.1\r\nX: "


@pytest.fixture(scope="module")
def closed(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """Maintenance is on."""
    environment.fab("-H", HOST, "maintenance.on", "--message", "back at five")
    yield environment
    environment.fab("-H", HOST, "maintenance.off")


def opened(address: str, count: int, sources: Sequence[str] = ("",)) -> list[socket.socket]:
    """That many slow connections to the public port, of those of `count` that are not refused; sources by turns."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = []
    for number in range(count):
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(5)
        try:
            if source := sources[number % len(sources)]:
                connection.bind((source, 0))
            connection.connect((address, 80))
            connection.sendall(SLOW)
        except OSError:
            connection.close()
            continue
        held.append(connection)
    return held


def left(held: Sequence[socket.socket]) -> int:
    """Count the connections that the host has not closed."""
    alive = 0
    for connection in held:
        connection.settimeout(0)
        try:
            alive += connection.recv(1) != b""
        except BlockingIOError:
            alive += 1
        except OSError:
            continue
    return alive


def pages(environment: LabEnvironment, count: int = 5, host: str = OTHER, address: str = "") -> list[str]:
    """Return the answers to another client that asks for the page that often, one request after the other."""
    ask = f"curl -gs -o /dev/null -m 10 -w '%{{http_code}}\\n' http://{address or environment.lab.address(HOST)}/"
    script = f"for n in {{1..{count}}}; do {ask} || true; done"
    return environment.lab.ssh(host, "bash -s", stdin=script).stdout.split()


@contextlib.contextmanager
def closing(held: Sequence[socket.socket]) -> Iterator[None]:
    """Afterwards none of them is open, and the host has seen that."""
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def test_one_source_leaves_places_at_the_page_to_others(closed: LabEnvironment) -> None:
    held = opened(closed.lab.address(HOST), MANY)
    with closing(held):
        said = pages(closed)
        # Bounded in its own test too: what it opened is what it is given.
        assert left(held) <= EACH

    assert said == ["503"] * 5


@pytest.fixture
def addresses(closed: LabEnvironment) -> Iterator[list[str]]:
    """Eight addresses of this machine, all of one customer's /64."""
    lab = closed.lab.name
    first = closed.lab.address6(HOST).rpartition(":")[0]
    found = [f"{first}:f{number:x}" for number in range(8)]
    for address in found:
        subprocess.run(
            ("ip", "address", "add", f"{address}/64", "dev", bridge_name(lab), "nodad", "preferred_lft", "0"),
            check=True,
        )
    yield found
    for address in found:
        subprocess.run(("ip", "address", "delete", f"{address}/64", "dev", bridge_name(lab)), check=True)


def test_one_customer_with_many_addresses_leaves_places_to_others(closed: LabEnvironment, addresses: list[str]) -> None:
    held = opened(closed.lab.address6(HOST), MANY, addresses)
    with closing(held):
        said = pages(closed)
        assert left(held) <= EACH

    assert said == ["503"] * 5


# A user of the host opens silent connections from many addresses, for twelve seconds.
WITHIN = """
use Socket;
my @held;
for my $n (1 .. 400) {
  socket(my $s, AF_INET, SOCK_STREAM, 0) or next;
  bind($s, sockaddr_in(0, inet_aton("127.0.0." . (2 + $n % 8)))) or next;
  connect($s, sockaddr_in($PORT, inet_aton("127.0.0.1"))) or next;
  syswrite($s, "GET / HTTP/1.1\\r\\nX: ");
  push @held, $s;
}
print scalar(@held), "\\n";
close(STDOUT);
sleep 12;
"""


@pytest.mark.parametrize("port", [80, 4003])
def test_a_user_of_the_host_itself_leaves_places_to_others(closed: LabEnvironment, port: int) -> None:
    hold = f"sudo setpriv --reuid=65534 --clear-groups perl -e '{WITHIN.replace('$PORT', str(port))}'"
    holding = threading.Thread(target=closed.lab.ssh, args=(HOST, hold), kwargs={"check": False})
    holding.start()
    count = "ss -Htn state established sport = :4003 | wc -l"
    wait = f"for n in {{1..100}}; do (($({count}) >= 60)) && exit; sleep 0.1; done; exit 1"
    try:
        closed.lab.ssh(HOST, "bash -s", stdin=wait)
        said = pages(closed)
    finally:
        holding.join()

    assert said == ["503"] * 5


def churn(address: str, until: float, done: list[int]) -> None:
    """Open connections and reset them, one after the other."""
    count = 0
    while time.monotonic() < until and count < 2000:
        with contextlib.suppress(OSError), socket.create_connection((address, 80), timeout=5) as connection:
            connection.sendall(SLOW)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        count += 1
    done.append(count)


def test_one_source_that_comes_and_goes_without_end_keeps_nobody_from_the_page(closed: LabEnvironment) -> None:
    done: list[int] = []
    until = time.monotonic() + 15
    threads = [threading.Thread(target=churn, args=(closed.lab.address(HOST), until, done)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        said = pages(closed)
    finally:
        for thread in threads:
            thread.join()
    print(f"connections in quick succession: {sum(done)}")

    assert said == ["503"] * 5
    # And when it is over, nothing of it is left.
    assert pages(closed, 1) == ["503"]


def test_a_balancer_that_is_exempt_has_all_the_places(environment: LabEnvironment) -> None:
    lab = read_lab(environment.lab.name)
    environment.write(firewall={"exempt": [f"10.83.{lab.network}.1/32"]})
    try:
        environment.fab("setup")
        environment.fab("-H", HOST, "maintenance.on")
        held = opened(environment.lab.address(HOST), EACH + 36)
        with closing(held):
            assert left(held) == EACH + 36
            assert "differs" not in environment.fab("-H", HOST, "doctor", expect=None).stdout
    finally:
        environment.write()
        environment.fab("-H", HOST, "maintenance.off")
        environment.fab("setup")
