"""Hosts that come and go: a source names them, a deploy sets up those that are new, and forgets those that are gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.environment import LabEnvironment
from tests.second_app import AWAY

APP_HOSTS = ("web1", "web2")


class Growing:
    """A second app on the lab's hosts, whose app hosts a command prints."""

    def __init__(self, environment: LabEnvironment) -> None:
        self.environment = environment
        self.file = environment.inventories / "hosts.json"

    def has(self, *hosts: str) -> None:
        """Let the command name these hosts from now on; `ssh` knows where they are."""
        self.file.write_text(json.dumps(dict.fromkeys(hosts)))

    def fab(self, *words: str, expect: int = 0) -> Any:
        return self.environment.fab(*words, inventory="shop", expect=expect)

    def live(self) -> list[str]:
        """The hosts on which the app is live and healthy."""
        rows = json.loads(self.fab("status", "--json").stdout)
        return [row["host"] for row in rows if row.get("health") == "healthy"]


@pytest.fixture(scope="module")
def growing(environment: LabEnvironment) -> Iterator[Growing]:
    """An app whose build host is set up, and no app host."""
    settings: dict[str, Any] = {
        "app": "shop",
        "release": "hello",
        "users": {"admin": "admin", "deploy": "shopkeeper"},
        "hosts": {"build1": {"roles": ["build"]}},
        "hosts_from": [{"command": "cat hosts.json"}],
        "http": {"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103},
        "deploy": {"drain": 1},
    }
    grown = Growing(environment)
    grown.has("web1")
    try:
        with environment.another("shop", **settings):
            grown.fab("-H", "build1", "setup")
            yield grown
    finally:
        for host in (*APP_HOSTS, "build1"):
            environment.lab.ssh(host, "sudo bash -s", check=False, stdin=AWAY)


def test_a_deploy_to_new_hosts_asks_for_setup_by_their_names_or_sets_them_up(growing: Growing) -> None:
    growing.has(*APP_HOSTS)
    refused = growing.fab("deploy", expect=3).stderr
    assert "web1" in refused and "does not let shopkeeper in" in refused and "(and 1 more: web2)" in refused
    assert "`fab shop -H web1,web2 setup` sets up new hosts, and so does `deploy --setup-new`" in refused
    assert growing.environment.lab.ssh("web1", "getent passwd shopkeeper", check=False).stdout == ""

    growing.has("web1")
    said = growing.fab("deploy", "--setup-new").stderr
    assert "not set up yet: web1\n" in said
    assert growing.live() == ["web1"]


def test_a_host_that_joins_is_set_up_and_those_that_are_there_are_left_alone(growing: Growing) -> None:
    growing.has("web1")
    growing.fab("deploy", "--setup-new")
    growing.has(*APP_HOSTS)

    said = growing.fab("deploy", "--setup-new").stderr

    assert "not set up yet: web2\n" in said
    assert [line for line in said.splitlines() if "set up," in line and "web1" in line] == []
    assert growing.live() == ["web1", "web2"]
    cookies = {growing.environment.lab.ssh(host, "sudo cat /etc/acme/shop/cookie.env").stdout for host in APP_HOSTS}
    assert len(cookies) == 1
    assert "not set up" not in growing.fab("deploy", "--setup-new").stderr


def test_a_host_that_the_source_no_longer_names_is_gone_and_no_error(growing: Growing) -> None:
    growing.has(*APP_HOSTS)
    growing.fab("deploy", "--setup-new")
    growing.has("web1")

    rows = json.loads(growing.fab("hosts.list", "--json").stdout)
    assert [(row["host"], row["from"].partition(": ")[0]) for row in rows if row["roles"] == ["app"]] == [
        ("web1", "hosts_from.0 (cat …)")
    ]
    growing.fab("restart")
    assert growing.live() == ["web1"]
