"""Names of tests with parameters: a long value is in its test's name only in part."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("value", ["x" * 500_000, b"\xff" * 500_000, "\x00" * 500_000])
def test_a_long_value_is_shortened_in_the_name_of_its_test(value: str | bytes, request: pytest.FixtureRequest) -> None:
    assert len(request.node.nodeid) < 400
    assert "(500000 in all)" in request.node.nodeid
