"""When an instance counts as healthy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.dropin import drop_in
from tests.stage import Stage
from tests.underway import eventually


def test_an_app_without_http_is_asked_by_an_expression_on_its_node(stage: Stage) -> None:
    stage.write(health={"rpc": "Hello.version() != nil", "deadline": 20})
    try:
        stage.fab("restart")

        assert {row["health"] for row in stage.status().values()} == {"healthy"}
    finally:
        stage.write()


def test_an_expression_that_is_not_true_is_told_with_its_value(stage: Stage) -> None:
    before = stage.status()["web1"]["release"]
    stage.write(health={"rpc": "{:pool, 0}", "deadline": 3, "timeout": 2})
    try:
        failed = stage.fab("restart", expect=4)

        assert "{:pool, 0} said" in failed.stderr
        assert "expected true" in failed.stderr
        assert "web2 was not touched" in failed.stderr
    finally:
        stage.write()
    stage.fab("restart")
    assert stage.status()["web1"]["release"] == before


def test_path_status_and_interval_are_those_of_the_inventory(stage: Stage) -> None:
    stage.write(health={"path": "/nope", "status": 404, "interval": 0.3, "settle": 0})
    try:
        stage.fab("-H", "web1", "restart")
        assert stage.status()["web1"]["health"] == "healthy"

        stage.write(health={"path": "/", "status": 204, "deadline": 8, "timeout": 4})
        assert stage.status()["web1"]["health"] == "200"
        failed = stage.fab("-H", "web1", "restart", expect=4)
    finally:
        stage.write()

    # Whoever waits is told what is waited for.
    said = rf"http://{re.escape(stage.lab.address('web1'))}:400[12]/ said 200; expected 204"
    assert re.search(f"web1: not healthy after 5 s, of at most 8: {said}", failed.stderr)
    assert re.search(f"not healthy within 8 s: {said}", failed.stderr)
    assert stage.status()["web1"]["health"] == "healthy"


def test_an_instance_that_dies_is_given_up_at_once(stage: Stage) -> None:
    stage.version("7.0.0", fault="crash-at-boot")
    stage.write(health={"deadline": 300})
    try:
        failed = stage.fab("deploy", expect=4, timeout=120)

        assert "it ended by itself" in failed.stderr
    finally:
        stage.write()
        stage.version("7.0.1")
        stage.fab("deploy")


@contextmanager
def listening(stage: Stage, address: str, *hosts: str) -> Iterator[None]:
    """Each instance that starts on `hosts` meanwhile listens at that address only."""
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(drop_in(stage.lab, host, f"Environment=LISTEN={address}"))
        yield


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_app_that_only_its_host_reaches_does_not_become_live(stage: Stage, address: str) -> None:
    stage.fab("restart")
    before = stage.status()["web1"]
    with listening(stage, address, "web1"):
        # The old instance is not started again under the drop-in.
        stage.write(deploy={**stage.settings["deploy"], "strategy": "blue-green"}, health={"deadline": 60})
        try:
            failed = stage.fab("-H", "web1", "restart", expect=4)
        finally:
            stage.write()
    where = f"[{address}]" if ":" in address else address

    assert re.search(
        rf"listens at port 400[12] on {re.escape(where)}, which no client outside this host", failed.stderr
    )
    assert "ip: {0, 0, 0, 0, 0, 0, 0, 0}" in failed.stderr
    after = stage.status()["web1"]
    assert (after["pid"], after["health"]) == (before["pid"], "healthy")
    assert stage.served("web1")["pid"] == before["pid"]


def test_a_live_app_that_only_its_host_reaches_is_unhealthy_to_status_and_doctor(stage: Stage) -> None:
    with listening(stage, "127.0.0.1", "web1"):
        slot = stage.status()["web1"]["slot"]
        stage.lab.ssh("web1", f"sudo systemctl restart hello@{slot}")
        said = r"listens at port 400[12] on 127\.0\.0\.1, which no client outside this host reaches"

        assert eventually(lambda: re.search(said, stage.status()["web1"]["health"]) is not None)
        assert re.search(said, stage.fab("doctor", expect=5).stdout.replace("\n", " "))
    stage.lab.ssh("web1", f"sudo systemctl restart hello@{slot}")
    assert eventually(lambda: stage.status()["web1"]["health"] == "healthy")


def test_an_app_at_one_of_the_hosts_addresses_goes_live_and_who_is_kept_out_is_told(stage: Stage) -> None:
    with listening(stage, "0.0.0.0", "web1"):
        done = stage.fab("-H", "web1", "restart")
        assert "by IPv4 only: clients that come by IPv6 (fd" in done.stderr
        assert stage.status()["web1"]["health"] == "healthy"
    stage.lab.ssh("web1", "sudo ip address add 10.99.0.1/24 dev host0")
    try:
        with listening(stage, "10.99.0.1", "web1"):
            done = stage.fab("-H", "web1", "restart")
            address = stage.lab.address("web1")
            assert f"on 10.99.0.1 only: clients that come by another address ({address}) are refused" in done.stderr
            assert stage.status()["web1"]["health"] == "healthy"
        stage.fab("-H", "web1", "restart")
    finally:
        stage.lab.ssh("web1", "sudo ip address del 10.99.0.1/24 dev host0")


def test_a_public_port_that_leads_elsewhere_has_the_deploy_undone(stage: Stage) -> None:
    stage.fab("restart")
    before = stage.status()["web1"]
    # Before ours: as a container's published port is.
    table = "table ip other { chain output { type nat hook output priority -150; tcp dport 80 redirect to :9; }; }"
    stage.lab.ssh("web1", "sudo nft -f -", stdin=table)
    stage.write(deploy={**stage.settings["deploy"], "strategy": "blue-green"})
    try:
        failed = stage.fab("-H", "web1", "restart", expect=4)
    finally:
        stage.write()
        stage.lab.ssh("web1", "sudo nft delete table ip other")
    address = stage.lab.address("web1")

    assert f"the public port 80, asked at {address} for /health, said no answer; expected 200" in failed.stderr
    assert (stage.status()["web1"]["pid"], stage.served("web1")["pid"]) == (before["pid"], before["pid"])
