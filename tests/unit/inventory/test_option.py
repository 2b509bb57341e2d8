"""Options that override a key of the inventory: their help and their values come from its schema."""

from __future__ import annotations

import pytest

from warpbeam.cli.task_list import option_line
from warpbeam.deploy.policy import Policy, policy_of
from warpbeam.error import Misuse
from warpbeam.inventory.schema import Deploy, Host, Inventory

INVENTORY = Inventory(
    org="acme", app="shop", hosts={"web1": Host(name="web1")}, deploy=Deploy(batch="2", pause=7, on_failure="rollback")
)


def test_an_option_that_is_not_given_is_as_the_inventory_says() -> None:
    # Each group may have a batch of its own.
    assert policy_of(INVENTORY) == Policy(batch="", pause=7, on_failure="rollback")


def test_an_option_has_the_type_of_the_key_that_it_overrides() -> None:
    assert policy_of(INVENTORY, batch="1,25%", pause="1.5", on_failure="stop") == Policy("1,25%", 1.5, "stop")


@pytest.mark.parametrize("text", ["0", "-1", "101%", "1;2", "1,", "a", "1,25%%", "25 %"])
def test_a_text_that_is_no_batch_size_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--batch: expected numbers of hosts such as 1, 25% or 1,25%, found"):
        policy_of(INVENTORY, batch=text)


@pytest.mark.parametrize("text", ["soon", "-1", "86401", "nan", "inf", "1 s", "²"])
def test_a_text_that_is_no_number_of_seconds_in_the_schemas_range_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--pause: expected a number of seconds from 0 to 86400, found"):
        policy_of(INVENTORY, pause=text)


def test_another_word_than_those_of_the_schema_is_refused() -> None:
    with pytest.raises(Misuse, match="--on-failure: expected stop or rollback, found 'explode'"):
        policy_of(INVENTORY, on_failure="explode")


def test_the_help_of_an_option_is_that_of_its_key_with_range_and_default() -> None:
    assert option_line("--pause=STRING", "in place of `deploy: pause` of the inventory") == (
        "--pause=SECONDS",
        "the wait between two batches; changed hosts must still be healthy after it; "
        "a number of seconds from 0 to 86400 (default: `deploy: pause` of the inventory, 0 if not set)",
    )
    flags, text = option_line("--on-failure=STRING", "in place of `deploy: on_failure` of the inventory")
    assert flags == "--on-failure=stop|rollback"
    assert text.endswith("(default: `deploy: on_failure` of the inventory, stop if not set)")
