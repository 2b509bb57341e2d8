"""Memory of a host for a second instance."""

from __future__ import annotations

import pytest

from warpbeam.deploy.preflight import check_memory
from warpbeam.error import Refused
from warpbeam.host.facts import HelperAnswer, HostFacts


def facts(memory: int, live_memory: int) -> HostFacts:
    """Return a host with so many bytes of memory, whose live instance takes `live_memory`."""
    return HostFacts(
        cpu="x86_64",
        libc="glibc 2.36",
        os="Debian",
        libcrypto=(),
        free=0,
        inodes=0,
        memory=memory,
        live="a",
        slots={},
        releases=(),
        base="",
        lacks=(),
        helper=HelperAnswer(version="7", activating=False, maintenance=False, memory=live_memory),
        previous="",
        lock=None,
        activating=False,
    )


def test_a_second_instance_is_taken_to_be_as_large_as_the_live_one() -> None:
    check_memory("web1", facts(103_000_000, 102_400_000))
    with pytest.raises(Refused, match=r"web1: 102.0 MB of memory are free; .* would take 102.4 MB"):
        check_memory("web1", facts(102_000_000, 102_400_000))


def test_where_nothing_runs_there_is_nothing_to_compare_with() -> None:
    check_memory("web1", facts(0, 0))
