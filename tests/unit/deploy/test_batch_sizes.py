"""The batches of a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.deploy.batch_sizes import batches
from warpbeam.inventory.names import Batch

# The pattern of the inventory's schema.
SPELLING: str = Batch.__metadata__[0].pattern  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "count", "sizes"),
    [
        ("1", 3, [1, 1, 1]),
        ("1,25%", 8, [1, 2, 2, 2, 1]),
        ("1,25%", 2, [1, 1]),
        ("50%", 5, [3, 2]),
        ("100%", 4, [4]),
        ("2,3", 9, [2, 3, 3, 1]),
    ],
)
def test_the_last_size_repeats_until_every_host_had_its_turn(text: str, count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches(range(count), text)] == sizes


@given(st.lists(st.integers(), max_size=60), st.from_regex(SPELLING))
def test_every_host_has_exactly_one_turn_in_order(items: list[int], text: str) -> None:
    assert [item for batch in batches(items, text) for item in batch] == items
