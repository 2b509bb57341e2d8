"""Sentences of `status` about all hosts together."""

from __future__ import annotations

import pytest

from warpbeam.error import Unreachable
from warpbeam.host.facts import HelperAnswer
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.operate.status import AppStatus, foreign

STAGE = Inventory(org="acme", app="hello", name="stage", hosts={"web1": Host(name="web1")})


def state(belongs: str) -> AppStatus:
    return AppStatus(
        HelperAnswer(version="10", activating=False, maintenance=False), "", {}, "", (), None, belongs=belongs
    )


@pytest.mark.parametrize("belongs", ["", "stage"], ids=["not recorded", "ours"])
def test_an_app_of_this_environment_is_no_foreign_one(belongs: str) -> None:
    assert foreign(STAGE, {"web1": state(belongs), "web2": Unreachable("gone", host="web2")}) == ""


def test_the_hosts_of_another_environment_are_named_with_it() -> None:
    found = {"web1": state("live"), "web2": state("stage"), "web3": state("live"), "web4": state("old")}
    assert foreign(STAGE, found) == (
        "hello belongs to another environment than 'stage': to 'live' on web1, web3; to 'old' on web4; "
        "commands that change something there refuse"
    )
