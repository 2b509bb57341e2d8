"""This machine as a build host."""

from __future__ import annotations

import pytest

from warpbeam.error import Failed
from warpbeam.fleet.here import named_here


@pytest.mark.parametrize(
    ("reason", "hint", "shown"),
    [
        ("mix test failed on the build host", "", "mix test failed on this machine"),
        ("x asks for Elixir 2; this build host has 1", "", "x asks for Elixir 2; this machine has 1"),
        ("no room", "make room in /tmp on the build host", "make room in /tmp on this machine"),
    ],
)
def test_problems_of_a_build_here_name_this_machine(reason: str, hint: str, shown: str) -> None:
    with pytest.raises(Failed) as raised, named_here():
        raise Failed(reason, hint)

    assert shown in (raised.value.message, raised.value.hint)
