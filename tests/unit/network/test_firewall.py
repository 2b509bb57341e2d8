"""The text of the filter, and messages about a host's firewall."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import msgspec
import pytest

from warpbeam.error import FAILED, REFUSED, Failed, Lost, Problem, Refused, Unreachable
from warpbeam.fleet.fleet import Fleet
from warpbeam.helper.program import program
from warpbeam.inventory.firewall import (
    ANYWHERE,
    Firewall,
    PublicPort,
    is_network,
    refill_seconds,
    source_matches,
)
from warpbeam.inventory.instance import Http
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.network.filter import filter_rules
from warpbeam.network.firewall import Table, table_sentence, together
from warpbeam.network.firewall_rows import expected_leads, table_rows
from warpbeam.provision.app_template import render
from warpbeam.provision.footprint import footprint, redirect_files

HOST = Host(name="web1", port=2222)
NOTHING = Firewall()
PORTS = {"HTTPS_PORT": PublicPort(443, (4011, 4012))}
TABLE = Table("", {"80": "4002"}, "b", True, False, "off", (), 0, 8, 262_144)
EVERYTHING = Firewall(
    filter=True,
    ssh=("192.0.2.0/24", "10.0.0.1", "fd00::/8"),
    accept={"9100/tcp": ("10.0.0.0/8", "10.1.0.0/16"), "51820/udp": ANYWHERE, "53/udp": ("::/0", "192.0.2.0/24")},
    limit="100/second",
    burst=500,
    exempt=("10.0.0.0/8", "2001:db8::/32"),
)


def inventory(firewall: Firewall = NOTHING, **more: Any) -> Inventory:
    """Return an environment of one host."""
    return Inventory(org="acme", app="hello", hosts={"web1": HOST}, firewall=firewall, **more)


def rules(firewall: Firewall, **more: Any) -> list[str]:
    """Return the filter's lines, without comments."""
    lines = filter_rules(inventory(firewall, **more), HOST).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def test_who_asks_for_nothing_has_no_filter() -> None:
    assert filter_rules(inventory(), HOST) == ""
    assert filter_rules(inventory(Firewall(ssh=("10.0.0.0/8",), burst=3)), HOST) == ""


def test_a_limit_alone_drops_nothing_else_and_a_filter_alone_limits_nobody() -> None:
    assert not any("policy drop" in line for line in rules(Firewall(limit="5/minute")))
    assert not any("limit rate" in line for line in rules(Firewall(filter=True)))


def test_networks_are_distinguished_by_family_and_lie_in_no_other() -> None:
    assert source_matches(ANYWHERE) == [""]
    assert source_matches(["0.0.0.0/0", "10.0.0.0/8"]) == ["meta nfproto ipv4 "]
    assert source_matches(["10.1.0.0/16", "10.0.0.0/8", "fd00::/8"]) == [
        "ip saddr { 10.0.0.0/8 } ",
        "ip6 saddr { fd00::/8 } ",
    ]
    assert source_matches([]) == []
    assert [is_network(text) for text in ("10.0.0.0/8", "10.0.0.1/8", "10.0.0.1", "::/0", "1.2.3", "10.0.0.0/33")] == [
        True,
        False,
        True,
        True,
        False,
        False,
    ]


def test_ssh_is_let_in_at_its_own_port_too_and_only_from_the_networks_named() -> None:
    found = [line for line in rules(EVERYTHING) if "22" in line and "dport" in line and "accept" in line]
    assert found == [
        "ip saddr { 10.0.0.1/32, 192.0.2.0/24 } tcp dport { 22, 2222 } accept",
        "ip6 saddr { fd00::/8 } tcp dport { 22, 2222 } accept",
    ]


def test_public_ports_are_reported_by_what_was_called() -> None:
    found = rules(EVERYTHING, ports=PORTS)
    for port in (80, 443):
        assert f"meta l4proto tcp ct original proto-dst {port} accept" in found
    assert "tcp dport != { 80, 443 } accept" in found


def test_a_source_is_remembered_until_it_has_its_whole_burst_again() -> None:
    assert refill_seconds(Firewall(limit="5/minute", burst=10)) == 120
    assert refill_seconds(Firewall(limit="2/hour", burst=4)) == 7200
    assert refill_seconds(Firewall(limit="1000/second", burst=10)) == 60


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")
@pytest.mark.parametrize("firewall", [Firewall(filter=True), Firewall(limit="5/minute"), EVERYTHING])
@pytest.mark.parametrize("ports", [{}, PORTS])
@pytest.mark.parametrize("http", [Http(), Http(port=None)])
def test_the_kernel_takes_every_table(firewall: Firewall, ports: dict[str, PublicPort], http: Http) -> None:
    here = inventory(firewall, ports=ports, http=http)
    made = footprint(here, HOST, {}, "C", ())
    guards = {file.path.rpartition("/")[2]: file.content for file in made.files if file.path.endswith(".nft")}
    # The file for an ended instance needs the sets of the guard.
    guards = {name: text if "ended" not in name else guards["guard.nft"] + text for name, text in guards.items()}
    texts = [filter_rules(here, HOST), *(file.content for file in redirect_files(here)), *guards.values()]
    # This machine does not have the app's user.
    texts = [text.replace(f'"{here.app_user}"', "64000") for text in texts]
    # Twice, because loading a table again replaces the old one.
    for text in (*texts, *texts):
        done = subprocess.run(
            ["unshare", "-n", "nft", "-f", "-"], input=text, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_each_slot_has_its_own_port_for_every_variable() -> None:
    here = inventory(ports=PORTS)
    more: dict[str, Any] = {
        "release_settings": {},
        "interface": "{127,0,0,1}",
        "vm_flags": "",
        "fullsweep_after": None,
        "dump_bytes": 0,
    }
    for slot, http, https in (("a", 4001, 4011), ("b", 4002, 4012)):
        text = render("slot.env.j2", here, slot=slot, **more)
        assert f"\nPORT={http}\n" in text
        assert f"\nHTTPS_PORT={https}\n" in text


def test_an_inventory_with_one_port_leads_it_alone() -> None:
    assert inventory().leads("b") == {80: 4002}
    assert inventory(ports=PORTS).leads("b") == {80: 4002, 443: 4012}
    assert inventory(ports=PORTS).slot_ports() == (4001, 4002, 4011, 4012)


def test_during_maintenance_only_http_leads_to_the_page_and_the_others_refuse() -> None:
    page = redirect_files(inventory(ports=PORTS))[-1].content
    assert page.count("redirect to :4003") == 2
    assert page.count("redirect to") == 2
    assert "tcp dport 443 reject with tcp reset" in page
    assert "reject" not in redirect_files(inventory(ports=PORTS))[0].content


def test_what_is_wrong_is_said_on_the_row_that_it_is_about() -> None:
    here = inventory(ports=PORTS)
    fleet = Fleet(here)
    both = msgspec.structs.replace(TABLE, leads={"80": "4002", "443": "4012"})

    assert [row.get("problem") for row in table_rows(fleet, {"web1": both})] == [None, None]
    assert [row.get("problem") for row in table_rows(fleet, {"web1": TABLE})] == [
        None,
        "expected port 4012: run firewall.apply",
    ]
    maintained = msgspec.structs.replace(both, maintenance=True)
    assert expected_leads(here, maintained) == {"80": "4003"}


@pytest.mark.parametrize(
    ("state", "wanted", "problem"),
    [
        ("off", False, None),
        ("on", True, None),
        ("off", True, "expected the filter of the inventory, found none: run firewall.apply"),
        ("gone", True, "expected the filter of the inventory, found one on the disk only: run firewall.apply"),
        ("other", True, "expected the filter of the inventory, found another: run firewall.apply"),
        ("other", False, "expected no filter, found one: run firewall.apply"),
        ("trial", True, "a new filter is on trial"),
    ],
)
def test_a_filter_that_is_not_as_the_inventory_says_is_named(state: Any, wanted: bool, problem: str | None) -> None:
    fleet = Fleet(inventory(Firewall(filter=wanted)))
    (row,) = table_rows(fleet, {"web1": msgspec.structs.replace(TABLE, filter=state)})
    assert row.get("problem") == problem


def test_a_kernel_with_less_room_than_the_inventory_wants_is_named() -> None:
    (row,) = table_rows(Fleet(inventory(Firewall(tracked=1_000_000))), {"web1": TABLE})
    assert str(row["problem"]).startswith("the kernel tracks at most 262144 connections; expected 1000000")


def test_a_sentence_names_every_port_and_the_filter() -> None:
    table = msgspec.structs.replace(TABLE, leads={"80": "4002", "443": "4012"}, filter="on")
    assert table_sentence(table, inventory(ports=PORTS)) == (
        "port 80 leads to slot b (port 4002), port 443 to its port 4012; the filter is in force"
    )


NO = Refused("ssh comes to port 22", "choose another one", host="web1")
AWAY = Unreachable("did not answer", host="web2")
REVERTED = Failed(
    "no new ssh connection came through the new filter, so what was before is in force again", host="web1"
)
UNKNOWN = Lost("the connection ended in the middle", host="web2")


@pytest.mark.parametrize(
    ("results", "spared", "code", "says"),
    [
        ({"web1": NO}, ["web2"], REFUSED, "port 22; nothing was changed on any host"),
        ({"web1": NO, "web2": AWAY}, [], REFUSED, "port 22 (and 1 more: web2); nothing was changed on any host"),
        ({"web1": TABLE, "web2": AWAY}, [], FAILED, "web2: did not answer; done: web1"),
        ({"web1": REVERTED}, ["web2", "web3"], FAILED, "is in force again; not touched: web2, web3"),
        ({"web1": NO, "web2": UNKNOWN, "web3": TABLE}, [], FAILED, "in the middle (and 1 more: web1); done: web3"),
    ],
)
def test_it_is_refused_where_nothing_was_changed_and_failed_where_a_change_was_tried(
    results: dict[str, Table | Problem], spared: list[str], code: int, says: str
) -> None:
    told = together(results, spared, changes=True)

    assert told.code == code
    assert told.message.endswith(says)


def test_a_query_that_one_host_does_not_answer_is_refused() -> None:
    told = together({"web1": TABLE, "web2": AWAY}, [], changes=False)

    assert (told.code, told.message) == (REFUSED, "web2: did not answer; nothing was changed on any host")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount of its own")
@pytest.mark.parametrize(("has", "then"), [(1_000, 500_000), (500_000, 500_000), (900_000, 900_000)])
def test_the_helper_makes_room_for_connections_and_never_takes_it_away(has: int, then: int) -> None:
    # Plain files replace the kernel's: its limit is one number for the whole machine.
    helper = program(render("helper.sh.j2", inventory(Firewall(tracked=500_000)), service_properties=[]))
    setting = helper[helper.index("readonly PAGE_PORT") :].partition("\n")[0]
    function = helper[helper.index("make_room() {") :].partition("\n}\n")[0] + "\n}\n"
    script = f"""set -euo pipefail
      cd /proc/sys/net/netfilter && mount -t tmpfs none . && cd "$PWD"
      for key in max buckets; do echo {has} >nf_conntrack_$key; done
      {setting}
      {function}
      make_room
      cat nf_conntrack_max nf_conntrack_buckets"""
    done = subprocess.run(["unshare", "-nm", "bash", "-c", script], text=True, capture_output=True, check=False)
    assert (done.stderr, done.stdout) == ("", f"{then}\n{then}\n")
