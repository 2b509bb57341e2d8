"""Deploys nobody notices: requests that never stop, and never fail, while instances come and go.

The normal run takes a slice. All of it: `pytest -m load -s`, with LOAD_REQUESTS, LOAD_DEPLOYS and LOAD_SEED from the
environment; it prints its figures.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.assertions import ROOT
from tests.background import await_end, running_fab
from tests.environment import ENVIRONMENT, LabEnvironment
from tests.load.clients import Clients, load
from tests.load.counters import Counters
from warpbeam.inventory.schema import Http

HOST = "web1"
REQUESTS = int(os.environ.get("LOAD_REQUESTS", "200000"))
DEPLOYS = int(os.environ.get("LOAD_DEPLOYS", "20"))
SEED = int(os.environ.get("LOAD_SEED") or time.time_ns() % 1_000_000)

ABRUPT = {"DRAIN_SECONDS": "0"}
# Every one of these puts another instance into the place of the old one, and none builds anything.
COMMANDS = (("deploy", "--force"), ("rollback",), ("restart",))


@pytest.fixture(scope="module")
def blue_green(environment: LabEnvironment) -> Iterator[str]:
    """The environment with the strategy blue-green, and an app that cuts everything when it stops.

    The sample app would otherwise finish what runs by itself, and a deploy that forgot to drain would pass.
    """
    settle(environment)
    environment.fab("setup")
    yield ENVIRONMENT
    # The other tests go on with the settings of the environment, and with both hosts alike.
    environment.write()
    environment.fab("setup")
    environment.fab("deploy", "--force")


def settle(environment: LabEnvironment, strategy: str = "blue-green", drain: int = 20, deadline: int = 20) -> None:
    """Write the environment's inventory with that strategy, drain time and deadline of health, in seconds."""
    environment.write(
        deploy={**environment.settings["deploy"], "strategy": strategy, "drain": drain},
        health={**environment.settings["health"], "deadline": deadline},
        env=ABRUPT,
    )


def flip(environment: LabEnvironment, inventory: str, words: tuple[str, ...]) -> str:
    """Do one of COMMANDS on HOST; fails unless the old instance is gone afterwards. Returns what `fab` said."""
    before = instances(environment)
    said = environment.fab("-H", HOST, *words, inventory=inventory).stderr
    after = instances(environment)
    assert len(after) == 1, f"{words}: {after} run"
    assert not before & after, f"{words}: {before} was not stopped"
    return said


def instances(environment: LabEnvironment) -> set[str]:
    """The process ids of the instances on HOST."""
    return set(
        environment.lab.ssh(HOST, "systemctl show --property=MainPID --value hello@a hello@b").stdout.split()
    ) - {"0"}


def deploys(
    environment: LabEnvironment, inventory: str, clients: Clients, count: int, requests: int = 0
) -> list[float]:
    """Do `count` deploys and rollbacks with restarts between, and more until there were so many requests.

    Returns how long each flip took, in seconds.
    """
    clients.phase("deploys")
    took: list[float] = []
    counted = 0
    while counted < count or clients.requests < requests:
        began = time.monotonic()
        words = COMMANDS[len(took) % len(COMMANDS)]
        flip(environment, inventory, words)
        took.append(time.monotonic() - began)
        counted += words != ("restart",)
    # A client that was asked to close connects once more, and its answer is counted.
    time.sleep(1)
    return took


def boots(environment: LabEnvironment, clients: Clients, count: int) -> None:
    """Start an instance in the idle slot and stop it again, without a flip, `count` times."""
    port_a, port_b = Http().slots
    script = f"""
        live=$(basename "$(readlink /opt/acme/hello/current)")
        if [ $live = a ]; then idle=b port={port_b}; else idle=a port={port_a}; fi
        for _ in $(seq {count}); do
            systemctl start hello@$idle
            until (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do sleep 0.05; done
            systemctl stop hello@$idle
        done
    """
    clients.phase("boots")
    environment.lab.ssh(HOST, f"sudo bash -c {shlex.quote(script)}")
    clients.phase("between")


def show(title: str, counters: Counters, took: list[float]) -> None:
    """Print the figures."""
    times = " ".join(f"{seconds:.1f}" for seconds in took)
    print(f"\n== {title}, seed {SEED}: {len(took)} flips, each in (s): {times}\n{counters.figures()}", flush=True)


def assert_nothing_failed(counters: Counters, flips: int, spanning: int) -> None:
    """Fail unless every request was answered, by as many instances as there were, with connections over each flip."""
    assert counters.failures == 0, counters.figures()
    assert {"a", "b", "stream"} <= counters.answered.keys(), counters.figures()
    assert len(counters.instances) == flips + 1, counters.figures()
    assert len(counters.spanning) == flips, counters.figures()
    assert min(counters.spanning.values()) >= spanning, counters.figures()
    assert counters.long.get("slow, begun before a flip", 0) > 0, counters.figures()
    assert counters.long.get("stream, begun before a flip", 0) > 0, counters.figures()


def test_no_request_fails_while_the_old_instance_is_replaced_three_times(
    environment: LabEnvironment, blue_green: str
) -> None:
    with load(environment.lab, HOST, SEED) as clients:
        took = deploys(environment, blue_green, clients, 3, 15_000)

    show("blue-green, a slice", clients.counters, took)
    assert_nothing_failed(clients.counters, len(took), 10)
    assert clients.counters.requests >= 15_000
    assert "problem" not in environment.status()[HOST]


@contextmanager
def unmarkable(environment: LabEnvironment) -> Iterator[None]:
    """Prevent marks of releases that were live on HOST while this lasts: the step after the switch fails."""
    mark = f"{ROOT}/releases/{environment.status()[HOST]['release']}/.warpbeam/was_live"
    # By this machine's own chattr(1): a host of Debian 13 may have none.
    there = f"/proc/{environment.lab.status(HOST).pid}/root{mark}"
    subprocess.run(["chattr", "+i", there], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", there], check=True)


def test_no_request_fails_where_the_new_instance_does_not_come_to_be(
    environment: LabEnvironment, blue_green: str
) -> None:
    before = instances(environment)
    with load(environment.lab, HOST, SEED) as clients:
        clients.phase("failures")
        clients.await_requests(100, 30)
        with environment.fault("unhealthy", HOST):
            with running_fab(environment, "-H", HOST, "restart", until=f"{HOST}: health") as process:
                process.send_signal(signal.SIGINT)
                status, said = await_end(process)
            sick = environment.fab("-H", HOST, "restart", expect=4, inventory=blue_green)
        with unmarkable(environment):
            too_late = environment.fab("-H", HOST, "restart", expect=4, inventory=blue_green)
        time.sleep(1)

    show("blue-green, three that failed", clients.counters, [])
    assert (status, "it was asked to stop; the old release" in said) == (130, True)
    assert "said 500; expected 200" in sick.stderr
    assert f"{HOST}: current" in too_late.stderr
    assert "is serving again, healthy" in too_late.stderr
    assert clients.counters.failures == 0, clients.counters.figures()
    # The last of them had the traffic for a moment.
    assert len(clients.counters.instances) == 2, clients.counters.figures()
    assert instances(environment) == before
    assert "problem" not in environment.status()[HOST]


def test_a_stream_shorter_than_the_drain_time_comes_whole_from_the_old_instance(
    environment: LabEnvironment, blue_green: str
) -> None:
    before = environment.served(HOST)
    with running_fab(environment, "-H", HOST, "restart", until=f"{HOST}: start") as process:
        stream = f"http://{environment.lab.address(HOST)}/stream?ms=12000"
        with urllib.request.urlopen(stream, timeout=60) as answer:
            body = answer.read()
        meanwhile = environment.served(HOST)
        status, said = await_end(process)

    assert body == b"tick\n" * 121
    assert meanwhile["pid"] != before["pid"], "it did not outlast the flip"
    assert status == 0, said
    assert "still open" not in said
    assert instances(environment) == {str(meanwhile["pid"])}


def test_a_stream_longer_than_the_drain_time_is_cut_counted_and_told(
    environment: LabEnvironment, blue_green: str
) -> None:
    streams = {"streams": 1, "least": 50, "long": 60, "farewell": 1}
    with load(environment.lab, HOST, SEED, kept=1, fresh=1, lazy=0, slow=0, **streams) as clients:
        clients.phase("hurry")
        clients.await_requests(100, 30)
        settle(environment, drain=2)
        try:
            said = flip(environment, blue_green, ("restart",))
        finally:
            settle(environment)

    show("blue-green, streams that outlast the drain", clients.counters, [])
    told = re.search(r"(\d+) connections? w\w+ still open", said)
    assert told is not None, said
    assert "an open WebSocket counts as one" in said
    # One stream to each address: two from outside, four from inside. Nothing else was cut.
    assert told[1] == "6"
    assert clients.counters.failed == {"short body": 6}


@pytest.mark.load
def test_no_request_of_many_fails_through_twenty_deploys_and_p99_is_that_of_a_boot(
    environment: LabEnvironment, blue_green: str
) -> None:
    # The idle slot leads to a release only when there was a flip.
    flip(environment, blue_green, COMMANDS[0])
    with load(environment.lab, HOST, SEED) as clients:
        clients.phase("quiet")
        time.sleep(10)
        boots(environment, clients, 5)
        took = deploys(environment, blue_green, clients, DEPLOYS, REQUESTS)
    with load(environment.lab, HOST, SEED) as other:
        settle(environment, strategy="restart")
        try:
            other_took = deploys(environment, blue_green, other, 3)
        finally:
            settle(environment)

    show("blue-green", clients.counters, took)
    show("restart, for comparison", other.counters, other_took)
    assert_nothing_failed(clients.counters, len(took), 50)
    # The same clients, with eyes open: they do see it when an instance is missing.
    assert other.counters.failures > 0
    assert clients.counters.requests >= REQUESTS
    assert clients.counters.latency("deploys", 0.99) <= 2 * clients.counters.latency("boots", 0.99), (
        clients.counters.figures()
    )
    assert "problem" not in environment.status()[HOST]
