"""Maintenance: a page in place of the app, for everybody, whatever else happens."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.background import eventually
from tests.environment import LabEnvironment
from tests.timeouts import LONG

APP_HOSTS = ("web1", "web2")


def another(environment: LabEnvironment) -> str:
    """Commit a version that web1 does not serve, and return its number."""
    version = "1.0.0" if environment.status()["web1"]["version"] != "1.0.0" else "2.0.0"
    environment.version(version)
    return version


def assert_serves(environment: LabEnvironment, version: str) -> None:
    """Fail unless every host serves `version`, healthy, at its public port, and without maintenance."""
    for host, row in environment.status().items():
        assert (row["version"], row["health"], row.get("problem")) == (version, "healthy", None), row
        assert environment.served(host)["version"] == version


@pytest.fixture(autouse=True)
def over(environment: LabEnvironment) -> Iterator[None]:
    """End maintenance after each test."""
    yield
    environment.fab("maintenance.off")


def asked(address: str, request: str, seconds: float = 20) -> bytes:
    """Return the whole answer of the public port to `request`, until it closes; a reset is an error."""
    with socket.create_connection((address, 80), timeout=seconds) as connection:
        connection.sendall(request.encode())
        said = b""
        while piece := connection.recv(65536):
            said += piece
    return said


def get(address: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, headers and body that the public port answers."""
    head, _, body = asked(address, f"{method} /any/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body.decode()


def soon(address: str) -> tuple[int, dict[str, str], str]:
    """The same, as soon as it answers at all: after a boot or a reload the rules come a moment later."""
    deadline = time.monotonic() + LONG
    while True:
        try:
            return get(address)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def from_itself(environment: LabEnvironment, host: str, address: str) -> str:
    """The first line that the public port answers to the host itself."""
    script = rf'exec 3<>/dev/tcp/{address}/80; printf "GET / HTTP/1.0\r\n\r\n" >&3; IFS= read -r line <&3; echo "$line"'
    return environment.lab.ssh(host, f"bash -c '{script}'").stdout.strip()


def test_everybody_gets_the_page_and_then_the_app_again(environment: LabEnvironment) -> None:
    done = environment.fab("maintenance.on", "--message", 'Back at 5 & "a bit" <b>später</b>')

    for host in APP_HOSTS:
        assert f"{host}: maintenance is on, port 80 answers 503" in done.stderr
        for address in (environment.lab.address(host), environment.lab.address6(host)):
            status, headers, body = get(address)
            assert status == 503
            assert int(headers["retry-after"]) > 0
            assert headers["connection"] == "close"
            assert int(headers["content-length"]) == len(body.encode())
            assert "Back at 5 &amp; &quot;a bit&quot; &lt;b&gt;später&lt;/b&gt;" in body
        for address in ("127.0.0.1", "::1", environment.lab.address(host), environment.lab.address6(host)):
            assert "503" in from_itself(environment, host, address)
        assert get(environment.lab.address(host), "HEAD")[2] == ""
    row = next(row for row in json.loads(environment.fab("status", "--json").stdout) if row["host"] == "web1")
    assert (row["maintenance"], row["health"]) == (True, "healthy")
    assert "maintenance is on" in row["problem"]
    rows = json.loads(environment.fab("firewall.status", "--json").stdout)
    assert [(row["maintenance"], row["leads to"], row.get("problem")) for row in rows] == [("on", "4003", None)] * 2

    done = environment.fab("maintenance.off")

    for host in APP_HOSTS:
        assert f"{host}: maintenance is off, port 80 leads to" in done.stderr
        assert environment.lab.ssh(host, "ss -Hltn sport = :4003").stdout == ""
    assert_serves(environment, environment.status()["web1"]["version"])


def test_a_request_with_a_body_is_answered_and_never_reset(environment: LabEnvironment) -> None:
    environment.fab("maintenance.on")

    for size in (10, 60_000, 2_000_000):
        request = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n" + "x" * size
        assert asked(environment.lab.address("web1"), request).startswith(b"HTTP/1.1 503 "), size


def test_on_and_off_may_be_said_twice(environment: LabEnvironment) -> None:
    environment.fab("maintenance.on", "--message", "one")
    done = environment.fab("maintenance.on", "--message", "two")

    assert "maintenance was on already; its page has the new text" in done.stderr
    assert "two" in get(environment.lab.address("web1"))[2]
    done = environment.fab("maintenance.on")
    assert "maintenance was on already; its page keeps the text that it has" in done.stderr
    assert "two" in get(environment.lab.address("web1"))[2]
    environment.fab("maintenance.off")
    assert "maintenance was off already" in environment.fab("maintenance.off").stderr


@pytest.mark.parametrize("strategy", ["restart", "blue-green"])
def test_a_deploy_and_a_reload_of_the_firewall_leave_maintenance_on(environment: LabEnvironment, strategy: str) -> None:
    version = another(environment)
    environment.fab("maintenance.on")

    environment.write(deploy={**environment.settings["deploy"], "strategy": strategy})
    try:
        done = environment.fab("deploy")
        again = environment.fab("deploy")
    finally:
        environment.write()
    for said in (done, again):
        endings = [line for line in said.stderr.splitlines() if ": runs " in line]
        assert [line.split(":")[0] for line in endings] == list(APP_HOSTS)
        assert all(line.endswith("maintenance is on: port 80 answers 503 until `maintenance.off`") for line in endings)
    environment.lab.ssh("web1", "sudo systemctl reload-or-restart nftables")

    for host in APP_HOSTS:
        assert soon(environment.lab.address(host))[0] == 503
    environment.fab("maintenance.off")
    assert_serves(environment, version)


def test_the_page_is_there_without_the_app(environment: LabEnvironment) -> None:
    environment.fab("-H", "web1", "maintenance.on", "--message", "nobody at home")

    environment.fab("-H", "web1", "stop")
    try:
        assert environment.lab.ssh("web1", "pgrep -u hello beam.smp", check=False).stdout == ""
        for address in (environment.lab.address("web1"), environment.lab.address6("web1")):
            status, _, body = get(address)
            assert (status, "nobody at home" in body) == (503, True), address
        for address in ("127.0.0.1", "::1"):
            assert "503" in from_itself(environment, "web1", address)
    finally:
        environment.fab("-H", "web1", "start")


def test_a_reboot_leaves_maintenance_on(environment: LabEnvironment) -> None:
    environment.fab("maintenance.on", "--message", "still here")

    environment.lab.crash("web1")
    environment.lab.boot("web1")

    status, _, body = soon(environment.lab.address("web1"))
    assert (status, "still here" in body) == (503, True)
    # The page comes before the app, which the next test is not to wait for.
    assert eventually(lambda: bool(environment.status()["web1"]["health"] == "healthy"))


def test_kept_connections_leave_the_app_when_maintenance_begins(environment: LabEnvironment) -> None:
    with socket.create_connection((environment.lab.address("web1"), 80), timeout=10) as connection:
        connection.sendall(b"GET /slow?ms=10 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)

        done = environment.fab("-H", "web1", "maintenance.on")

        assert connection.recv(65536) == b""
    assert "drain" in done.stderr
    assert (
        environment.lab.ssh("web1", "sudo ls /run/hello-a /run/hello-b 2>/dev/null | grep -c drain", check=False).stdout
        == "0\n"
    )


def test_a_text_that_cannot_be_on_a_page_is_refused_before_anything_is_done(environment: LabEnvironment) -> None:
    done = environment.fab("maintenance.on", "--message", "x" * 1001, expect=2)

    assert "1001 bytes" in done.stderr
    for text in ("a\nb", "a\x1bb"):
        assert "one line" in environment.fab("maintenance.on", "--message", text, expect=2).stderr
    assert get(environment.lab.address("web1"))[0] != 503


def test_the_root_helper_checks_what_the_deploy_user_gives_it(environment: LabEnvironment) -> None:
    helper = "sudo -n /usr/lib/warpbeam/hello/warpbeam-helper maintenance"
    for text in ("", "maybe", "on", "on\\n", "on\\na\\rSet-Cookie: x", "on\\n$(printf x%.0s {1..1001})"):
        done = environment.lab.ssh("web1", f'printf "{text}" | {helper}', user="deploy", check=False)
        assert (done.returncode, "warpbeam-helper: " in done.stderr) == (2, True), text
    assert get(environment.lab.address("web1"))[0] != 503
    assert environment.lab.ssh("web1", "sudo ls /etc/acme/hello | grep -c '^maintenance'", check=False).stdout == "0\n"


def test_where_the_redirect_was_cleared_maintenance_says_that_nobody_sees_it(environment: LabEnvironment) -> None:
    environment.fab("-H", "web1", "firewall.clear")
    try:
        done = environment.fab("maintenance.on", expect=4)
        assert (
            "web1: maintenance is on, port 80 does not answer; expected 503; on web2 maintenance is on" in done.stderr
        )
    finally:
        environment.fab("firewall.apply")
    assert get(environment.lab.address("web1"))[0] == 503
