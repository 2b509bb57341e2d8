"""Two apps on one host: one with the ports of the other is refused before it takes that off the network."""

from __future__ import annotations

from typing import Any

import pytest

from tests.environment import LabEnvironment

# Ports that differ from those of the first app, as in docs/inventory.md.
APART = {"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103}


def shop(environment: LabEnvironment, **changes: Any) -> dict[str, Any]:
    """Settings of a second app on web1, with users of its own."""
    hosts = {"web1": environment.settings["hosts"]["web1"]}
    return {
        "app": "shop",
        "release": "hello",
        "users": {"admin": "admin", "deploy": "shopkeeper"},
        "hosts": hosts,
    } | changes


@pytest.mark.parametrize("words", ["setup", "setup --check"])
def test_an_app_with_the_ports_of_another_is_refused_and_nothing_changes(
    environment: LabEnvironment, words: str
) -> None:
    left = "sudo sh -c 'ls -d /etc/acme/* /usr/lib/warpbeam/* /opt/acme/*; getent passwd | sort; nft list tables'"
    before = environment.lab.ssh("web1", left).stdout
    with environment.another("shop", **shop(environment)):
        refused = environment.fab(*words.split(), inventory="shop", expect=3).stderr
    assert "web1: another app on this host, hello (environment stage), has the same ports" in refused
    assert "80 (http.port), 4001 and 4002 (http.slots), 9001 and 9002 (http.distribution), 4003" in refused
    assert "set `http.port`, `http.slots`, `http.distribution`, `http.maintenance` in" in refused
    assert environment.lab.ssh("web1", left).stdout == before
    assert environment.served("web1")["version"]


@pytest.mark.parametrize(
    ("key", "ports"),
    [("port", 80), ("slots", [4101, 4002]), ("distribution", [9002, 9101]), ("maintenance", 4001)],
)
def test_one_port_of_another_app_is_enough(environment: LabEnvironment, key: str, ports: Any) -> None:
    with environment.another("shop", **shop(environment, http={**APART, key: ports})):
        refused = environment.fab("setup", "--check", inventory="shop", expect=3).stderr
    assert f"(http.{key})" in refused
    assert refused.count("(http.") == 1
