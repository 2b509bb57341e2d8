"""Health: the answers with which an instance counts as healthy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.background import eventually
from tests.environment import LabEnvironment
from tests.unit_drop_in import drop_in


def test_an_app_without_http_is_asked_by_an_expression_on_its_node(environment: LabEnvironment) -> None:
    environment.write(health={"rpc": "Hello.version() != nil", "deadline": 20})
    try:
        environment.fab("restart")

        assert {row["health"] for row in environment.status().values()} == {"healthy"}
    finally:
        environment.write()


def test_an_expression_that_is_not_true_is_reported_with_its_value(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]["release"]
    environment.write(health={"rpc": "{:pool, 0}", "deadline": 3, "timeout": 2})
    try:
        failed = environment.fab("restart", expect=4)

        assert "{:pool, 0} said" in failed.stderr
        assert "expected true" in failed.stderr
        assert "web2 was not touched" in failed.stderr
    finally:
        environment.write()
    environment.fab("restart")
    assert environment.status()["web1"]["release"] == before


def test_path_status_and_interval_are_those_of_the_inventory(environment: LabEnvironment) -> None:
    environment.write(health={"path": "/nope", "status": 404, "interval": 0.3, "settle": 0})
    try:
        environment.fab("-H", "web1", "restart")
        assert environment.status()["web1"]["health"] == "healthy"

        environment.write(health={"path": "/", "status": 204, "deadline": 8, "timeout": 4})
        assert environment.status()["web1"]["health"] == "200"
        failed = environment.fab("-H", "web1", "restart", expect=4)
    finally:
        environment.write()

    # The output says what the command waits for. On a busy machine the app does not answer in the first seconds.
    said = rf"http://{re.escape(environment.lab.address('web1'))}:400[12]/ said (200|no answer); expected 204"
    assert re.search(f"web1: not healthy after 5 s, of at most 8: {said}", failed.stderr)
    assert re.search(f"not healthy within 8 s: {said}", failed.stderr)
    assert environment.status()["web1"]["health"] == "healthy"


def test_an_instance_that_dies_is_given_up_at_once(environment: LabEnvironment) -> None:
    environment.version("7.0.0", fault="crash-at-boot")
    environment.write(health={"deadline": 300})
    try:
        failed = environment.fab("deploy", expect=4, timeout=120)

        assert "it ended by itself" in failed.stderr
    finally:
        environment.write()
        environment.version("7.0.1")
        environment.fab("deploy")


@contextmanager
def listening(environment: LabEnvironment, address: str, *hosts: str) -> Iterator[None]:
    """Each instance that starts on `hosts` meanwhile listens at that address only."""
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(drop_in(environment.lab, host, f"Environment=LISTEN={address}"))
        yield


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_app_that_only_its_host_reaches_does_not_become_live(environment: LabEnvironment, address: str) -> None:
    environment.fab("restart")
    before = environment.status()["web1"]
    with listening(environment, address, "web1"):
        # The old instance is not started again under the drop-in.
        environment.write(deploy={**environment.settings["deploy"], "strategy": "blue-green"}, health={"deadline": 60})
        try:
            failed = environment.fab("-H", "web1", "restart", expect=4)
        finally:
            environment.write()
    where = f"[{address}]" if ":" in address else address

    assert re.search(
        rf"listens at port 400[12] on {re.escape(where)}, which no client outside this host", failed.stderr
    )
    assert "ip: {0, 0, 0, 0, 0, 0, 0, 0}" in failed.stderr
    after = environment.status()["web1"]
    assert (after["pid"], after["health"]) == (before["pid"], "healthy")
    assert environment.served("web1")["pid"] == before["pid"]


def test_a_live_app_that_only_its_host_reaches_is_unhealthy_to_status_and_doctor(environment: LabEnvironment) -> None:
    with listening(environment, "127.0.0.1", "web1"):
        slot = environment.status()["web1"]["slot"]
        environment.lab.ssh("web1", f"sudo systemctl restart hello@{slot}")
        said = r"listens at port 400[12] on 127\.0\.0\.1, which no client outside this host reaches"

        assert eventually(lambda: re.search(said, environment.status()["web1"]["health"]) is not None)
        assert re.search(said, environment.fab("doctor", expect=5).stdout.replace("\n", " "))
    environment.lab.ssh("web1", f"sudo systemctl restart hello@{slot}")
    assert eventually(lambda: environment.status()["web1"]["health"] == "healthy")


def test_an_app_at_one_of_the_hosts_addresses_goes_live_with_a_warning(
    environment: LabEnvironment,
) -> None:
    with listening(environment, "0.0.0.0", "web1"):
        done = environment.fab("-H", "web1", "restart")
        assert "by IPv4 only: clients that come by IPv6 (fd" in done.stderr
        assert environment.status()["web1"]["health"] == "healthy"
    environment.lab.ssh("web1", "sudo ip address add 10.99.0.1/24 dev host0")
    try:
        with listening(environment, "10.99.0.1", "web1"):
            done = environment.fab("-H", "web1", "restart")
            address = environment.lab.address("web1")
            assert f"on 10.99.0.1 only: clients that come by another address ({address}) are refused" in done.stderr
            assert environment.status()["web1"]["health"] == "healthy"
        environment.fab("-H", "web1", "restart")
    finally:
        environment.lab.ssh("web1", "sudo ip address del 10.99.0.1/24 dev host0")


def test_a_public_port_that_leads_elsewhere_has_the_deploy_undone(environment: LabEnvironment) -> None:
    environment.fab("restart")
    before = environment.status()["web1"]
    # Before ours: as a container's published port is.
    table = "table ip other { chain output { type nat hook output priority -150; tcp dport 80 redirect to :9; }; }"
    environment.lab.ssh("web1", "sudo nft -f -", stdin=table)
    environment.write(deploy={**environment.settings["deploy"], "strategy": "blue-green"})
    try:
        failed = environment.fab("-H", "web1", "restart", expect=4)
    finally:
        environment.write()
        environment.lab.ssh("web1", "sudo nft delete table ip other")
    address = environment.lab.address("web1")

    assert f"the public port 80, asked at {address} for /health, said no answer; expected 200" in failed.stderr
    assert (environment.status()["web1"]["pid"], environment.served("web1")["pid"]) == (before["pid"], before["pid"])
