"""A group of web hosts and a group of workers: one deploy, each with its own settings."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from tests.background import eventually
from tests.environment import LabEnvironment
from tests.load.clients import load
from tests.timeouts import LONG

WEB, WORKER = "web1", "web2"
WORKERS = {
    "http": "none",
    # A node answers before its app has started.
    "health": {"rpc": "List.keymember?(Application.started_applications(), :hello, 0)"},
    "env": {"ROLE": "worker", "SERVER": "off"},
    "secrets": {"QUEUE_KEY": {"command": "printf of-workers"}},
    "migrate": "Hello.Release.migrate(); IO.puts(:workers)",
}


@pytest.fixture(scope="module")
def groups(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The sample app with a web host and a worker; the environment's own inventory again afterwards."""
    hosts: dict[str, Any] = dict(environment.settings["hosts"])
    environment.write(
        hosts={**hosts, WEB: {"group": "web"}, WORKER: {"group": "worker"}},
        groups={"web": {"env": {"ROLE": "web"}}, "worker": WORKERS},
        secrets={"QUEUE_KEY": {"command": "printf of-all"}},
        deploy={**environment.settings["deploy"], "strategy": "blue-green", "order": ["worker", "web"], "drain": 20},
        env={"DRAIN_SECONDS": "0"},
    )
    environment.fab("setup", "--restart")
    yield environment
    environment.write()
    environment.fab("setup", "--restart")
    assert {row["health"] for row in environment.status().values()} == {"healthy"}


def on_hosts(environment: LabEnvironment, expression: str) -> dict[str, str]:
    """Return what each host's node answers."""
    return {host: environment.fab("rpc", expression, "--host", host).stdout.strip() for host in (WEB, WORKER)}


def test_both_groups_get_one_release_in_their_order_and_no_client_notices(groups: LabEnvironment) -> None:
    groups.version("3.1.0")
    with load(groups.lab, WEB, 15, kept=4, fresh=2, lazy=0, slow=0) as clients:
        clients.phase("deploys")
        said = groups.fab("deploy").stderr
        clients.await_requests(100, LONG)
        groups.fab("rollback")
        clients.await_requests(200, LONG)
        groups.fab("deploy")

    assert clients.counters.failures == 0, clients.counters.figures()
    assert said.index(f"{WORKER}: runs ") < said.index(f"{WEB}: runs ")
    rows = groups.status()
    assert {host: (row["group"], row["version"], row["health"]) for host, row in rows.items()} == {
        WEB: ("web", "3.1.0", "healthy"),
        WORKER: ("worker", "3.1.0", "healthy"),
    }
    entries = json.loads(groups.fab("history", "--json").stdout)
    assert {entry["host"] for entry in entries[-2:]} == {WEB, WORKER}


def test_each_host_has_the_settings_of_its_group(groups: LabEnvironment) -> None:
    assert on_hosts(groups, 'System.get_env("ROLE")') == {WEB: '"web"', WORKER: '"worker"'}
    assert on_hosts(groups, 'System.get_env("QUEUE_KEY")') == {WEB: '"of-all"', WORKER: '"of-workers"'}
    ports = on_hosts(groups, 'System.get_env("PORT")')
    assert ports[WORKER] == "nil" and ports[WEB] in ('"4001"', '"4002"')
    assert groups.fab("setup", "--check").returncode == 0
    agree = [row["agree"] for row in json.loads(groups.fab("secrets.list", "--fetch", "--json").stdout)]
    assert agree == [True, True]
    assert groups.fab("doctor", "--json", "-H", f"{WEB},{WORKER}", expect=None).stdout


def test_no_client_is_led_to_a_worker_and_it_has_no_page(groups: LabEnvironment) -> None:
    assert groups.served(WEB)["version"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        groups.served(WORKER)
    table = groups.lab.ssh(WORKER, "sudo nft list table inet warpbeam_hello").stdout
    assert "redirect" not in table
    said = json.loads(groups.fab("firewall.status", "--json").stdout)
    assert [row["host"] for row in said] == [WEB]
    try:
        shown = groups.fab("maintenance.on").stderr
        assert f"{WORKER}: serves no HTTP (`http: none`), so that it has no maintenance page" in shown
        assert groups.status()[WORKER]["health"] == "healthy"
        refused = groups.fab("-H", WORKER, "maintenance.on", expect=2).stderr
        assert "no chosen host serves HTTP" in refused
    finally:
        groups.fab("maintenance.off")
    assert groups.served(WEB)["version"]


def test_a_worker_that_is_not_healthy_keeps_its_old_release_and_the_web_untouched(groups: LabEnvironment) -> None:
    before = {host: row["release"] for host, row in groups.status().items()}
    groups.version("3.2.0", fault="crash-at-boot")
    try:
        failed = groups.fab("deploy", expect=4).stderr
    finally:
        groups.version("3.2.1")

    assert f"{WORKER}: " in failed and f"{WEB} was not touched" in failed
    assert {host: row["release"] for host, row in groups.status().items()} == before


def test_a_worker_runs_again_after_a_boot_a_stop_and_a_restart(groups: LabEnvironment) -> None:
    groups.lab.crash(WORKER)
    groups.lab.boot(WORKER)
    assert eventually(lambda: groups.status()[WORKER].get("health") == "healthy")
    groups.fab("-H", WORKER, "stop")
    groups.fab("-H", WORKER, "start")
    groups.fab("-H", WORKER, "restart")
    groups.fab("firewall.apply")

    assert groups.status()[WORKER]["health"] == "healthy"
    assert groups.served(WEB)["version"]
