"""Memory of a host for a second instance."""

from __future__ import annotations

import pytest

from warpbeam.deploy.preflight import check_memory
from warpbeam.error import Refused
from warpbeam.host.facts import HostFacts


def facts(memory: int, helper: str, live: str = "a") -> HostFacts:
    return HostFacts(
        cpu="x86_64",
        libc="glibc 2.36",
        os="Debian",
        libcrypto=(),
        free=0,
        inodes=0,
        memory=memory,
        live=live,
        slots={},
        releases=(),
        base="",
        lacks=(),
        helper=helper,
        previous="",
        lock=None,
        activating=False,
    )


RUNS = "helper 7\nactivating no\nmemory 100000\nmaintenance off\n"


def test_a_second_instance_is_taken_to_be_as_large_as_the_live_one() -> None:
    check_memory("web1", facts(103_000_000, RUNS))
    with pytest.raises(Refused, match=r"web1: 102 MB of memory are free; .* would take 102 MB"):
        check_memory("web1", facts(102_000_000, RUNS))


def test_where_nothing_runs_there_is_nothing_to_compare_with() -> None:
    check_memory("web1", facts(0, RUNS.replace("memory 100000", "memory 0")))
    check_memory("web1", facts(0, ""))
