"""The batches of a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpbeam.deploy.batch import SPELLING, batches, check_batch
from warpbeam.error import Misuse


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


@given(st.lists(st.integers(), max_size=60), st.from_regex(SPELLING, fullmatch=True))
def test_every_host_has_exactly_one_turn_in_order(items: list[int], text: str) -> None:
    assert [item for batch in batches(items, text) for item in batch] == items


@pytest.mark.parametrize("text", ["", "0", "-1", "101%", "1;2", "1,", "a", "1,25%%", "25 %"])
def test_what_is_no_batch_size_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="--batch"):
        check_batch(text, "--batch")
