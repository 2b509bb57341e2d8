"""Nodes of two hosts find each other whatever their slots, and only where the inventory says so."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.background import eventually
from tests.environment import LabEnvironment
from tests.hosts.terminal import ask, console
from warpbeam.error import FAILED

HOSTS = ("web1", "web2")
# Seconds within which each live node must see the other.
SOON = 10


@pytest.fixture
def cluster(environment: LabEnvironment, tmp_path: Path) -> Iterator[LabEnvironment]:
    """Both hosts are each other's peers meanwhile, and the app connects with both nodes of each."""
    addresses = {name: environment.lab.address(name) for name in HOSTS}
    hosts = {
        name: {**host, "address": addresses[name]} if name in HOSTS else host
        for name, host in environment.settings["hosts"].items()
    }
    # Where a host is called by an address, its key is known by it.
    known = tmp_path / "known_hosts"
    lines = (environment.lab.ssh_config.parent / "known_hosts").read_text()
    for name in HOSTS:
        for key in environment.lab.ssh(name, "cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines():
            lines += f"{addresses[name]} {' '.join(key.split()[:2])}\n"
    known.write_text(lines)
    before = environment.settings
    environment.settings = {
        **before,
        "hosts": hosts,
        "ssh": {**before["ssh"], "known_hosts": str(known)},
        "vm": {"peers": [*HOSTS]},
        "env": {**before["env"], "PEERS": " ".join(addresses.values())},
    }
    environment.write()
    try:
        environment.fab("setup", "--restart")
        yield environment
    finally:
        environment.settings = before
        environment.write()
        environment.fab("setup", "--restart")


def slots(environment: LabEnvironment) -> dict[str, str]:
    """The live slot of each host."""
    return {host: row["slot"] for host, row in environment.status().items()}


def seen(environment: LabEnvironment, host: str) -> str:
    """The nodes that the live node of a host is connected with, as it says itself."""
    return environment.fab("rpc", "Node.list()", "--host", host).stdout


def assert_each_sees_the_other(environment: LabEnvironment) -> None:
    """Each live node sees the other's within `SOON` seconds of now, as `status` and the nodes say."""
    others = {"web1": ["web2"], "web2": ["web1"]}
    deadline = time.monotonic() + SOON
    while True:
        # A question that is answered after the deadline began before it.
        last = time.monotonic() > deadline
        rows = environment.status()
        if {host: row.get("sees") for host, row in rows.items()} == others:
            break
        assert not last, rows
    assert all("problem" not in row for row in rows.values()), rows
    for host, (other,) in others.items():
        assert f"hello-{rows[other]['slot']}@{environment.lab.address(other)}" in seen(environment, host)


def bring(environment: LabEnvironment, want: dict[str, str]) -> None:
    """Have that slot live on each host: a restart moves the app to the other one."""
    for host, slot in want.items():
        if slots(environment)[host] != slot:
            environment.fab("-H", host, "restart")
    assert slots(environment) == want


def test_live_nodes_see_each_other_in_every_combination_of_slots(cluster: LabEnvironment) -> None:
    for first, second in (("a", "a"), ("a", "b"), ("b", "b"), ("b", "a")):
        bring(cluster, {"web1": first, "web2": second})
        assert_each_sees_the_other(cluster)
        with console(cluster, "--host", "web1") as child:
            ask(child, "1 + 41", "42")
    for host in HOSTS:
        assert cluster.lab.ssh(host, "pgrep -x epmd", check=False).stdout == ""


def test_live_nodes_see_each_other_across_deploy_failed_deploy_rollback_and_restart(cluster: LabEnvironment) -> None:
    bring(cluster, {"web1": "a", "web2": "b"})
    cluster.version("5.1.0")
    cluster.fab("deploy", "--batch=1")
    assert_each_sees_the_other(cluster)
    cluster.version("5.1.1", "unhealthy")
    cluster.fab("deploy", expect=FAILED)
    assert_each_sees_the_other(cluster)
    cluster.version("5.1.2")
    cluster.fab("deploy")
    cluster.fab("rollback")
    assert_each_sees_the_other(cluster)
    for host in HOSTS:
        cluster.lab.ssh(host, f"sudo systemctl kill -s KILL hello@{slots(cluster)[host]}")
        assert_each_sees_the_other(cluster)


def test_a_release_without_the_module_works_alone_and_is_reached_by_those_with_it(cluster: LabEnvironment) -> None:
    bring(cluster, {"web1": "a", "web2": "b"})
    # A release and settings as the version before made them.
    missing = "/opt/acme/hello/slots/a/warpbeam-nodes"
    before = "s/ -warpbeam_ports [0-9]* [0-9]*//"
    root = "sudo bash -c"
    cluster.lab.ssh("web1", f"{root} 'mv -T {missing}/ /opt/acme/hello/nodes'")
    cluster.lab.ssh("web1", f"{root} 'sed -i \"{before}\" /etc/acme/hello/slot-a.env && systemctl restart hello@a'")
    try:
        # Its manifest still names the module.
        cluster.fab("start", "--force")
        assert cluster.fab("rpc", "1 + 1", "--host", "web1").stdout == "2\n"
        assert cluster.fab("rpc", ":code.which(:erl_epmd)", "--host", "web1").stdout.count("kernel-") == 1
        # web2, which has it, calls.
        assert_each_sees_the_other(cluster)
    finally:
        cluster.lab.ssh("web1", f"{root} 'mv -T /opt/acme/hello/nodes {missing}'")
        cluster.fab("setup", "--restart")


def test_a_release_that_brings_a_module_of_that_name_is_not_built(environment: LabEnvironment) -> None:
    head = environment.git("rev-parse", "HEAD")
    mine = environment.source / "rel" / "overlays" / "warpbeam-nodes"
    mine.mkdir(parents=True)
    (mine / "erl_epmd.beam").write_text("x")
    try:
        environment.commit("a module of its own")
        assert "the release has warpbeam-nodes" in environment.fab("build-on-host", expect=FAILED).stderr
    finally:
        environment.git("reset", "-q", "--hard", head)


def test_without_peers_nodes_listen_on_loopback_only(environment: LabEnvironment) -> None:
    for host in HOSTS:
        slot = slots(environment)[host]
        listening = environment.lab.ssh(host, "ss -Hltn '( sport = :9001 or sport = :9002 )'").stdout
        assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{9001 if slot == 'a' else 9002}"]
        assert seen(environment, host) == "[]\n"
    assert all("sees" not in row for row in environment.status().values())
    checks = json.loads(environment.fab("doctor", "--json", expect=None).stdout)
    assert [each for each in checks if each["check"] == "nodes"] == []


def judged(environment: LabEnvironment) -> dict[str, dict[str, Any]]:
    """Return the findings of `doctor` about each host's node."""
    found = json.loads(environment.fab("doctor", "--json", expect=None).stdout)
    return {each["host"]: each for each in found if each["check"] == "nodes"}


def test_status_and_doctor_say_who_does_not_see_whom_and_why(cluster: LabEnvironment) -> None:
    bring(cluster, {"web1": "a", "web2": "b"})
    assert_each_sees_the_other(cluster)
    assert {host: each["ok"] for host, each in judged(cluster).items()} == {"web1": True, "web2": True}

    # A firewall between them.
    wall = "table inet wall { chain input { type filter hook input priority -20; tcp dport { 9001, 9002 } drop; }; }"
    cluster.lab.ssh("web1", "sudo nft -f -", stdin=wall)
    cluster.lab.ssh("web2", "sudo nft -f -", stdin=wall)
    cut = "sudo ss -K state established '( sport = :9001 or sport = :9002 or dport = :9001 or dport = :9002 )'"
    try:
        cluster.lab.ssh("web1", cut)
        assert eventually(lambda: cluster.status()["web1"]["sees"] == [])
        done = cluster.fab("status")
        assert "its node does not see that of web2: `doctor` says why" in done.stdout
        address = cluster.lab.address("web2")
        assert f"nothing answers at {address}:9002, from web1" in judged(cluster)["web1"]["found"]
    finally:
        for host in HOSTS:
            cluster.lab.ssh(host, "sudo nft delete table inet wall")
    assert_each_sees_the_other(cluster)

    # An app that connects with nobody.
    peers = cluster.settings["env"].pop("PEERS")
    cluster.write()
    try:
        cluster.fab("setup", "--restart")
        assert eventually(lambda: cluster.status()["web1"]["sees"] == [])
        assert "neither calls the other" in judged(cluster)["web2"]["found"]
    finally:
        cluster.settings["env"]["PEERS"] = peers
        cluster.write()
