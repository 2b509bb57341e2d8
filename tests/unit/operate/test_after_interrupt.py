"""Messages after an interrupt."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from warpbeam.error import Problem, Unreachable
from warpbeam.event import Event, Note, Settled, Warn
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.facts import About, HelperAnswer, HostFacts, Release
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.operate import after_interrupt
from warpbeam.operate.after_interrupt import emit_after_interrupt

NO_HELPER = HelperAnswer(version="", activating=False, maintenance=False)
LIVE = Release("20261123T120000Z", "healthy", About(version="0.2.0", commit="2a66cfce99"))
CALM = HostFacts(
    cpu="x86_64", libc="2.36", os="debian 12", libcrypto=("3",), free=1, inodes=1, memory=1, live="a",
    slots={"a": LIVE.name, "b": ""}, releases=(LIVE,), base="", lacks=(), helper=NO_HELPER, previous="", lock=None,
    activating=False,
)  # fmt: skip
BUSY = msgspec.structs.replace(CALM, activating=True)
AWAY = Unreachable("web3 (192.0.2.3) did not answer within 10 s")


@pytest.fixture
def fleet() -> Fleet:
    """A fleet of three hosts that are never contacted."""
    hosts = {name: Host(name=name) for name in ("web1", "web2", "web3", "web4")}
    return Fleet(Inventory(name="shop", file=Path("shop.yml"), org="acme", app="shop", hosts=hosts, all_hosts=hosts))


def test_where_nothing_had_begun_nobody_is_asked(fleet: Fleet) -> None:
    fleet.activity.phases = {("web1", "claim"): True, ("web1", "upload"): False}
    told: list[Event] = []

    emit_after_interrupt(fleet, told.append)

    assert told == [Note("", "nothing was switched on any host")]


def test_each_host_that_had_begun_is_reported_in_a_line_unless_it_did_so_itself(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, HostFacts | Problem] = {"web1": CALM, "web2": BUSY, "web3": AWAY}
    # Only the hosts' answers are faked: the test is about which hosts are asked, and the messages that follow.
    monkeypatch.setattr(
        after_interrupt, "look", lambda fleet, hosts, emit: {host.name: answers[host.name] for host in hosts}
    )
    fleet.activity.phases = {
        ("web1", "activate"): True,
        ("web2", "activate"): False,
        ("web3", "migrate"): False,
        ("web3", "cancel"): False,
    }
    told: list[Event] = []

    emit_after_interrupt(fleet, told.append)

    assert told == [
        Settled("web1", "runs 20261123T120000Z 0.2.0 (2a66cfce)"),
        Settled(
            "web2",
            "its activation goes on there by itself, with nobody watching; `fab ENV status` shows how it ends",
            good=False,
        ),
        Warn("web3", "what it runs now is unknown: web3 (192.0.2.3) did not answer within 10 s"),
        Note("", "not touched: web4"),
        Note("", "next: `fab ENV status` shows what runs; the same command again goes on from there"),
    ]

    fleet.activity.phases["web2", "cancel"] = True
    told.clear()
    emit_after_interrupt(fleet, told.append)
    assert [event.host for event in told] == ["web1", "web3", "", ""]
