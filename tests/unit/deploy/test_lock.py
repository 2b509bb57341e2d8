"""The deploy lock of several hosts: all or none, and no host is asked in vain."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.unit.deploy.test_plan import facts
from tests.unit.phases import TableFleet
from warpbeam.deploy import lock
from warpbeam.deploy.lock import Claim, holding
from warpbeam.error import REFUSED, Failed, Held, Problem, Refused, Unreachable
from warpbeam.event import Event, silent
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.phase import Done, Phase

NAMES = ("web1", "web2", "web3")


def fleet_of(problems: dict[str, BaseException]) -> TableFleet:
    """Return a fleet whose hosts give their lock, but for those that have a problem with the claim."""

    def answer(name: str, phase: Phase[Any]) -> Any:
        if not isinstance(phase, Claim):
            return Done(done=True)
        if name in problems:
            raise problems[name]
        return facts()

    return TableFleet(NAMES, answer)


def test_a_refused_lock_is_given_back_once_and_an_unreachable_host_not_asked_again() -> None:
    fleet = fleet_of({"web2": Held("held", host="web2"), "web3": Unreachable("away", host="web3")})

    with (
        pytest.raises(Refused, match="nothing was changed on any host"),
        holding(fleet, HostSelection(), "deploy", silent),
    ):
        pytest.fail("the lock is not held")

    assert fleet.hosts_asked("unlock") == ["web1", "web2"]


@pytest.mark.parametrize("order", permutations((Held("held"), Unreachable("away"), Failed("it answers wrongly")), 3))
def test_the_exit_code_of_a_refused_lock_does_not_depend_on_the_order_of_hosts(order: tuple[Problem, ...]) -> None:
    fleet = fleet_of(dict(zip(NAMES, order, strict=True)))

    with pytest.raises(Refused) as refused, holding(fleet, HostSelection(), "deploy", silent):
        pytest.fail("the lock is not held")

    assert refused.value.code == REFUSED


def test_after_an_interrupt_every_host_is_asked_to_give_its_lock_back() -> None:
    fleet = fleet_of({"web2": KeyboardInterrupt()})

    with pytest.raises(KeyboardInterrupt), holding(fleet, HostSelection(), "deploy", silent):
        pytest.fail("the lock is not held")

    assert fleet.hosts_asked("unlock") == list(NAMES)


def test_a_host_that_has_given_its_lock_back_is_not_asked_to() -> None:
    fleet = fleet_of({})

    with holding(fleet, HostSelection(), "deploy", silent) as lease:
        lease.given_back.add("web2")

    assert fleet.hosts_asked("unlock") == ["web1", "web3"]


def test_a_host_left_out_as_unreachable_is_named_and_not_asked_again() -> None:
    fleet = fleet_of({"web3": Unreachable("it does not answer", host="web3")})
    told: list[Event] = []

    with holding(fleet, HostSelection(skip_unreachable=True), "deploy", told.append) as lease:
        assert list(lease.facts) == ["web1", "web2"]

    assert fleet.hosts_asked("unlock") == ["web1", "web2"]
    assert [getattr(event, "text", "") for event in told] == [
        "web3: it does not answer: left out",
        "left as they are: web3",
    ]


def test_no_lock_is_held_while_waiting_for_the_lock_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    problems: dict[str, BaseException] = {"web2": Held("held", host="web2")}
    fleet = fleet_of(problems)
    waits: list[list[str]] = []

    def wait(seconds: float) -> None:
        waits.append(fleet.hosts_asked("unlock"))
        problems.clear()

    monkeypatch.setattr(lock.time, "sleep", wait)
    with holding(fleet, HostSelection(wait=60), "deploy", silent) as lease:
        assert list(lease.facts) == list(NAMES)

    assert waits == [list(NAMES)]
    assert fleet.hosts_asked("unlock") == sorted([*NAMES, *NAMES])
