"""Groups: what an environment is for each host, and in what order groups change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from warpbeam.deploy.batch_sizes import batches_of
from warpbeam.deploy.plan import HostPlan
from warpbeam.error import Misuse
from warpbeam.fleet.fleet import HERE, LocalFleet
from warpbeam.host.facts import About
from warpbeam.inventory.read import read_inventory
from warpbeam.inventory.schema import Inventory
from warpbeam.inventory.secret import Secret

FLEET = """
org: acme
app: shop
http: {port: 8080, distribution: [9101, 9102]}
env: {A: environment, B: environment, C: environment}
secrets: {KEY: {env: ONE}}
health: {timeout: 7}
deploy: {batch: 2, migrate: Shop.migrate()}
groups:
  web:
    batch: 50%
  worker:
    http: none
    health: {rpc: Shop.healthy?()}
    env: {A: group, B: group}
    secrets: {KEY: {env: TWO}}
    migrate: Shop.Jobs.migrate()
hosts:
  lone: {address: 10.0.0.1}
  web1: {address: 10.0.0.2, group: web}
  web2: {address: 10.0.0.3, group: web, migrate: }
  worker1: {address: 10.0.0.4, group: worker}
  worker2: {address: 10.0.0.5, group: worker, env: {A: host}}
"""


def read(directory: Path, text: str = FLEET, *only: str) -> Inventory:
    """Return the environment of that text."""
    (directory / "fleet.yml").write_text(text)
    return read_inventory(directory / "fleet.yml", ",".join(only) or None)


def test_a_host_has_its_own_settings_then_its_groups_then_the_environments(tmp_path: Path) -> None:
    fleet = read(tmp_path)
    own = {name: fleet.of(host) for name, host in fleet.hosts.items()}

    assert own["lone"] is fleet
    assert {name: [*each.env.values()] for name, each in own.items() if name.startswith("w")} == {
        "web1": ["environment"] * 3,
        "web2": ["environment"] * 3,
        "worker1": ["group", "group", "environment"],
        "worker2": ["host", "group", "environment"],
    }
    # Parts are merged, too.
    assert (own["worker1"].health.rpc, own["worker1"].health.timeout) == ("Shop.healthy?()", 7)
    assert [own[name].deploy.batch for name in ("lone", "web1", "worker1")] == ["2", "50%", "2"]
    assert own["worker2"].secrets["KEY"].env == "TWO" != own["web1"].secrets["KEY"].env


def test_without_http_a_host_keeps_its_nodes_ports_and_has_no_others(tmp_path: Path) -> None:
    fleet = read(tmp_path)
    worker = fleet.of(fleet.hosts["worker1"])

    assert (worker.http.port, worker.http.distribution) == (None, (9101, 9102))
    assert (worker.slot_ports(), worker.leads("a"), worker.page_ports(), worker.port("b")) == ((), {}, (), None)
    assert fleet.slot_ports() == (4001, 4002)


def test_what_a_host_is_does_not_depend_on_which_hosts_are_chosen(tmp_path: Path) -> None:
    fleet = read(tmp_path, FLEET, "worker1")
    worker = fleet.of(fleet.hosts["worker1"])

    assert [*worker.hosts] == [*fleet.hosts] == ["worker1"]
    assert worker.all_hosts == fleet.all_hosts
    assert fleet.of(fleet.all_hosts["web1"]).deploy.batch == "50%"


def test_each_expression_migrates_once_on_a_host_that_has_it(tmp_path: Path) -> None:
    fleet = read(tmp_path)
    assert [host.name for host in fleet.migrate_hosts(fleet.app_hosts)] == ["lone", "worker1"]
    named = read(tmp_path, FLEET.replace("0.0.5, group: worker,", "0.0.5, group: worker, roles: [app, migrate],"))
    assert [host.name for host in named.migrate_hosts(named.app_hosts)] == ["lone", "worker2"]
    # `migrate:` without a value is none.
    chosen = read(tmp_path, FLEET, "web2")
    assert chosen.migrate_hosts(chosen.app_hosts) == ()


def steps(fleet: Inventory) -> list[HostPlan]:
    """Return a plan's step for each host."""
    about = About(version="1.0")
    return [
        HostPlan(
            host, "r", about, "l", before="", before_release="", slot="", upload=True, activate=True, stopped=False
        )
        for host in fleet.app_hosts
    ]


@pytest.mark.parametrize(
    ("order", "text", "expected"),
    [
        ("[]", "", [["web1"], ["web2"], ["worker1", "worker2"], ["lone"]]),
        ("[worker, web]", "", [["worker1", "worker2"], ["web1"], ["web2"], ["lone"]]),
        ("[worker]", "1", [["worker1"], ["worker2"], ["web1"], ["web2"], ["lone"]]),
        ("[]", "100%", [["web1", "web2"], ["worker1", "worker2"], ["lone"]]),
    ],
)
def test_groups_change_one_after_the_other(tmp_path: Path, order: str, text: str, expected: list[list[str]]) -> None:
    fleet = read(tmp_path, FLEET.replace("deploy: {", f"deploy: {{order: {order}, "))

    found = batches_of(fleet, steps(fleet), text)

    assert [[step.host.name for step in batch] for batch in found] == expected


def test_without_groups_the_hosts_change_in_the_order_of_the_file(tmp_path: Path) -> None:
    plain = read(tmp_path, "org: acme\napp: shop\nhosts: {c: , a: , b: }\n")

    found = batches_of(plain, steps(plain), "2")

    assert [[step.host.name for step in batch] for batch in found] == [["c", "a"], ["b"]]


def test_a_group_is_read_once_and_not_for_each_of_its_hosts(tmp_path: Path) -> None:
    fleet = read(tmp_path, f"{FLEET}  more1: {{address: 10.0.1.1, group: worker}}\n")

    assert fleet.own["worker1"] is fleet.own["more1"]


def test_this_machine_is_the_host_that_is_chosen_or_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = LocalFleet(read(tmp_path, FLEET, "worker1")).inventory
    assert chosen.of(chosen.hosts[HERE]).env["A"] == "group"
    monkeypatch.setattr("socket.gethostname", lambda: "worker2.example.com")
    named = LocalFleet(read(tmp_path)).inventory
    assert named.of(named.hosts[HERE]).env["A"] == "host"
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(Misuse, match=r"^which of lone, web1, .* is this machine \(elsewhere\)\?"):
        LocalFleet(read(tmp_path))
    # Without groups it needs no name.
    plain = msgspec.structs.replace(read(tmp_path), own={})
    assert [*LocalFleet(plain).inventory.hosts] == [HERE]


def test_hosts_with_a_batch_of_their_own_change_apart_from_their_group(tmp_path: Path) -> None:
    text = FLEET.replace("web1: {", "web1: {batch: 1, ").replace("    batch: 50%\n", "    batch: \n")
    more = "  web3: {address: 10.0.0.7, group: web}\n"
    fleet = read(tmp_path, text + more)

    found = batches_of(fleet, steps(fleet), "")

    assert [[step.host.name for step in batch] for batch in found][:2] == [["web1"], ["web2", "web3"]]


def test_a_secret_replaces_a_secret_and_is_no_mixture_of_both(tmp_path: Path) -> None:
    fleet = read(tmp_path, FLEET.replace("KEY: {env: TWO}", "KEY: {command: pass show two}"))

    assert fleet.of(fleet.hosts["worker1"]).secrets["KEY"] == Secret(command="pass show two")


def test_a_group_without_hosts_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"fleet.yml:\d+: groups.idle.http: expected an expression"):
        read(tmp_path, FLEET.replace("groups:\n", "groups:\n  idle: {http: none}\n"))


def test_settings_that_no_host_has_are_not_checked(tmp_path: Path) -> None:
    grouped = FLEET.replace("  lone: {address: 10.0.0.1}\n", "").replace("http: {port: 8080,", "http: {port: none,")
    grouped = grouped.replace("  web:\n", "  web:\n    http: {port: 80}\n")

    assert read(tmp_path, grouped).http.port is None
