"""New hosts of a rollout: which they are, and that a refusal names them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.deploy.test_lock import fleet_of
from warpbeam.deploy import new_hosts as module
from warpbeam.deploy.new_hosts import new_hosts, set_up_new
from warpbeam.error import Refused, Unreachable, Unready, untouched
from warpbeam.event import Note, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection

PROBLEMS: dict[str, BaseException] = {
    "web1": Unready("does not let deploy in", host="web1"),
    "web2": Unreachable("did not answer", host="web2"),
    "web3": Unready("/opt/acme/hello is not set up for deploy", host="web3"),
}


def test_hosts_that_do_not_know_the_deploy_user_are_new_and_no_others() -> None:
    assert [host.name for host in new_hosts(fleet_of(PROBLEMS), HostSelection())] == ["web1", "web3"]
    assert [host.name for host in new_hosts(fleet_of(PROBLEMS), HostSelection(skip="web3"))] == ["web1"]
    assert new_hosts(fleet_of({}), HostSelection()) == []


def test_setup_is_of_the_new_hosts_alone_and_knows_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(module, "set_up", lambda fleet, emit: done.append(fleet))
    fleet = fleet_of(PROBLEMS)
    said: list[Any] = []

    set_up_new(fleet, HostSelection(), said.append)
    set_up_new(fleet_of({}), HostSelection(), silent)

    (narrowed,) = done
    assert isinstance(narrowed, Fleet)
    assert [*narrowed.inventory.hosts] == ["web1", "web3"]
    assert [*narrowed.inventory.all_hosts] == [*fleet.inventory.hosts] == ["web1", "web2", "web3"]
    assert narrowed.shells is fleet.shells
    assert said == [Note("", "not set up yet: web1, web3")]


def test_a_refusal_says_which_hosts_to_set_up() -> None:
    problems = {name: problem for name, problem in PROBLEMS.items() if isinstance(problem, Refused)}
    assert untouched(problems).hint == (
        "`fab ENV -H web1,web3 setup` sets up new hosts, and so does `deploy --setup-new`"
    )
    assert untouched({"web2": problems["web2"]}).hint == ""
