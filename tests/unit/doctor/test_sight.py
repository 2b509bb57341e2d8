"""Sight: which nodes see each other, by the connections in the kernels of both hosts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.doctor.test_diagnosis import WELL
from warpbeam.doctor.examine import Call
from warpbeam.doctor.sight import sight
from warpbeam.inventory.schema import Host, Inventory, Vm
from warpbeam.network.cluster import Link, mates, node_ports, seen_hosts

HOSTS = {f"web{number}": Host(f"web{number}", address=f"10.0.0.{number}") for number in (1, 2, 3)}
INVENTORY = msgspec.structs.replace(Inventory(org="acme", app="hello", hosts=HOSTS, vm=Vm(peers=("web2",))), name="st")
# The node in slot a of web1 has connected to the node in slot b of web2.
CALLER = Link("a", "10.0.0.1:50000", "10.0.0.2:9002")
CALLED = Link("b", "10.0.0.2:9002", "10.0.0.1:50000")


def test_hosts_may_see_each_other_where_either_lets_the_other_in() -> None:
    def names(host: str, **changes: Any) -> list[str]:
        inventory = msgspec.structs.replace(INVENTORY, **changes)
        return [each.name for each in mates(inventory, HOSTS[host])]

    assert names("web1") == ["web2"]
    assert names("web2") == ["web1", "web3"]
    assert names("web1", vm=Vm(peers=("10.0.0.0/24",))) == ["web2", "web3"]
    assert names("web1", vm=Vm()) == []
    assert node_ports(INVENTORY) == (9001, 9002)
    assert node_ports(msgspec.structs.replace(INVENTORY, vm=Vm())) == ()


@pytest.mark.parametrize(
    ("mine", "theirs", "sees"),
    [
        ((CALLER,), (CALLED,), True),
        # Old kernels do not report the slot.
        ((msgspec.structs.replace(CALLER, slot=""),), (msgspec.structs.replace(CALLED, slot=""),), True),
        # The connection is of an instance that is not live.
        ((msgspec.structs.replace(CALLER, slot="b"),), (CALLED,), False),
        ((CALLER,), (msgspec.structs.replace(CALLED, slot="a"),), False),
        # One end does not have the connection (any more).
        ((CALLER,), (), False),
        ((), (CALLED,), False),
        ((CALLER,), (msgspec.structs.replace(CALLED, there="10.0.0.1:50001"),), False),
    ],
)
def test_a_node_sees_another_where_both_live_ones_have_the_connection(
    mine: tuple[Link, ...], theirs: tuple[Link, ...], sees: bool
) -> None:
    told = {"web1": ("a", mine), "web2": ("b", theirs)}

    assert seen_hosts(INVENTORY, HOSTS["web1"], told) == {"web2": sees}
    # web3 has no entry: it runs no instance.
    assert seen_hosts(INVENTORY, HOSTS["web2"], told) == {"web1": sees}


def test_a_host_that_was_not_chosen_is_seen_by_its_address() -> None:
    chosen = msgspec.structs.replace(INVENTORY, hosts={"web1": HOSTS["web1"]}, all_hosts=HOSTS)

    assert seen_hosts(chosen, HOSTS["web1"], {"web1": ("a", (CALLER,))}) == {"web2": True}
    assert seen_hosts(chosen, HOSTS["web1"], {"web1": ("a", ())}) == {"web2": False}


@pytest.mark.parametrize(
    ("finds", "says", "why"),
    [
        (True, "silence", "nothing answers at 10.0.0.2:9002, from web1"),
        (True, "refused", "no node listens at 10.0.0.2:9002"),
        (True, "yes", "neither calls the other"),
        (False, "yes", "were built by a version that finds nodes in the same slot only"),
    ],
)
def test_doctor_says_why_a_node_does_not_see_another(finds: bool, says: str, why: str) -> None:
    calls = (Call("10.0.0.2", 9001, "refused"), Call("10.0.0.2", 9002, says))
    seen = {
        "web1": msgspec.structs.replace(WELL, runs=True, finds=finds, calls=calls),
        "web2": msgspec.structs.replace(WELL, runs=True, finds=finds, live="b"),
    }

    found = {finding.host: finding for finding in sight(INVENTORY, seen)}

    assert not found["web1"].good
    assert why in found["web1"].found
    assert found["web1"].mend


def test_doctor_says_who_is_seen() -> None:
    seen = {
        "web1": msgspec.structs.replace(WELL, runs=True, links=(CALLER,)),
        "web2": msgspec.structs.replace(WELL, runs=True, live="b", links=(CALLED,)),
        # A host whose instance does not run has findings of its own.
        "web3": msgspec.structs.replace(WELL, runs=False),
    }

    found = {finding.host: (finding.good, finding.found) for finding in sight(INVENTORY, seen)}

    assert found == {"web1": (True, "its node sees that of web2"), "web2": (True, "its node sees that of web1")}
