"""Rebooting hosts, one after the other."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.background import eventually, is_serving
from tests.environment import LabEnvironment
from tests.timeouts import ANSWER, LONG
from tests.unit_drop_in import drop_in


def boot_id(environment: LabEnvironment, host: str) -> str:
    return environment.lab.ssh(host, "cat /proc/sys/kernel/random/boot_id").stdout


@contextmanager
def watched(environment: LabEnvironment, *hosts: str) -> Iterator[list[set[str]]]:
    """While this lasts: each time that fewer than all of `hosts` serve, which of them do."""
    seen: list[set[str]] = []
    ended = threading.Event()

    def serves(host: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{environment.lab.address(host)}/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def watch() -> None:
        while not ended.wait(0.1):
            up = {host for host in hosts if serves(host)}
            if len(up) < len(hosts) and (not seen or seen[-1] != up):
                seen.append(up)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_hosts_reboot_one_after_the_other_and_one_always_serves(environment: LabEnvironment) -> None:
    hosts = ("web1", "web2", "build1")
    before = {host: boot_id(environment, host) for host in hosts}
    status = environment.status()

    with watched(environment, "web1", "web2") as seen:
        done = environment.fab("hosts.reboot")

    assert all(boot_id(environment, host) != before[host] for host in hosts)
    assert set() not in seen, seen
    assert {"web2"} in seen and {"web1"} in seen
    after = environment.status()
    for host in ("web1", "web2"):
        assert f"{host}: rebooted in " in done.stderr
        assert (after[host]["release"], after[host]["health"]) == (status[host]["release"], "healthy")
        assert environment.served(host)["version"] == status[host]["version"]
        assert environment.lab.ssh(host, "sudo ls /opt/acme/hello/lock", check=False).returncode != 0
    assert "build1: rebooted in " in done.stderr


@pytest.fixture
def abrupt(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment with an app that cuts everything when it stops: by itself it would finish what runs."""
    environment.write(env={"DRAIN_SECONDS": "0"})
    environment.fab("-H", "web1", "setup", "--restart")
    yield environment
    environment.write()
    environment.fab("-H", "web1", "setup", "--restart")


def test_a_request_that_runs_finishes_before_the_reboot(abrupt: LabEnvironment) -> None:
    environment = abrupt
    address = environment.lab.address("web1")
    got: list[bytes] = []

    def ask() -> None:
        # Idle, it holds the drain open for as long as it takes to notice that it began.
        with socket.create_connection((address, 80)):
            while health(address) != 503:
                time.sleep(0.05)
            with urllib.request.urlopen(f"http://{address}/slow?ms=3500", timeout=20) as answer:
                got.append(answer.read())

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    done = environment.fab("-H", "web1", "hosts.reboot")
    asking.join(10)

    assert got and b"hello" in got[0]
    assert "still open" not in done.stderr


def health(address: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=ANSWER) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_load_balancer_sees_the_host_leave_before_the_app_stops(environment: LabEnvironment) -> None:
    address = environment.lab.address("web1")
    environment.write(deploy={**environment.settings["deploy"], "balancer_drain": 4})
    # Record the answers of the health path, each with its first time; 0: no answer.
    seen: list[tuple[int, float]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            try:
                status = health(address)
            except OSError:
                status = 0
            if not seen or seen[-1][0] != status:
                seen.append((status, time.monotonic()))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        environment.fab("-H", "web1", "hosts.reboot")
    finally:
        ended.set()
        asking.join()
        environment.write()

    (well, _), (leaving, left), (gone, stopped), *_ = seen
    assert (well, leaving, gone) == (200, 503, 0), seen
    # Nobody is connected, so all of it is for the balancer.
    assert stopped - left > 3.5, seen
    assert seen[-1][0] == 200, seen


def test_a_host_that_does_not_get_healthy_stops_it_and_the_next_is_not_touched(environment: LabEnvironment) -> None:
    before = {host: boot_id(environment, host) for host in ("web1", "web2")}
    try:
        with drop_in(environment.lab, "web1", "ExecStartPre=/bin/false"):
            done = environment.fab("-H", "web1,web2", "hosts.reboot", expect=4)
    finally:
        environment.fab("start")

    assert "error: web1: it booted, but is not healthy" in done.stderr
    assert "web2 was not touched" in done.stderr
    assert boot_id(environment, "web1") != before["web1"]
    assert boot_id(environment, "web2") == before["web2"]


def test_a_host_that_does_not_come_back_is_reported_with_what_was_not_touched(environment: LabEnvironment) -> None:
    before = boot_id(environment, "web2")
    slow = "/etc/systemd/system/ssh.service.d/slow.conf"
    environment.lab.ssh("web1", f"printf '[Service]\\nExecStartPre=/bin/sleep 20\\n' | sudo tee {slow}")
    try:
        done = environment.fab("-H", "web1,web2", "hosts.reboot", "--timeout", "6", expect=4)
    finally:
        deadline = time.monotonic() + LONG
        while environment.lab.ssh("web1", f"sudo rm {slow}", check=False).returncode != 0:
            assert time.monotonic() < deadline
            time.sleep(1)

    assert "error: web1: it did not come back within 6 s" in done.stderr
    assert "web2 was not touched" in done.stderr
    assert boot_id(environment, "web2") == before
    assert environment.served("web2")["version"] == environment.status()["web1"]["version"]


def test_nothing_is_rebooted_when_one_host_cannot_be_reached(environment: LabEnvironment) -> None:
    before, version = boot_id(environment, "web1"), environment.served("web2")["version"]
    environment.lab.crash("web2")
    try:
        done = environment.fab("hosts.reboot", expect=3)
    finally:
        environment.lab.boot("web2")
        # The next test is not to meet it booting.
        assert eventually(lambda: is_serving(environment, "web2", version))

    assert "no host was rebooted" in done.stderr
    assert boot_id(environment, "web1") == before
