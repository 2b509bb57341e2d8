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

from tests.load.crew import Crew, load
from tests.load.tally import Tally
from tests.stage import ENVIRONMENT, Stage
from tests.underway import begun, ended
from tests.witness import ROOT
from warpbeam.inventory.schema import Http

HOST = "web1"
REQUESTS = int(os.environ.get("LOAD_REQUESTS", "200000"))
DEPLOYS = int(os.environ.get("LOAD_DEPLOYS", "20"))
SEED = int(os.environ.get("LOAD_SEED") or time.time_ns() % 1_000_000)

ABRUPT = {"DRAIN_SECONDS": "0"}
# Every one of these puts another instance into the place of the old one, and none builds anything.
COMMANDS = (("deploy", "--force"), ("rollback",), ("restart",))


@pytest.fixture(scope="module")
def blue_green(stage: Stage) -> Iterator[str]:
    """The stage's environment with the strategy blue-green, and an app that cuts everything when it stops.

    The sample app would otherwise finish what runs by itself, and a deploy that forgot to drain would pass.
    """
    settle(stage)
    stage.fab("setup")
    yield ENVIRONMENT
    # The other tests go on with the settings of the stage, and with both hosts alike.
    stage.write()
    stage.fab("setup")
    stage.fab("deploy", "--force")


def settle(stage: Stage, strategy: str = "blue-green", drain: int = 20, deadline: int = 20) -> None:
    """Write the stage's inventory with that strategy, drain time and deadline of health, in seconds."""
    stage.write(
        deploy={**stage.settings["deploy"], "strategy": strategy, "drain": drain},
        health={**stage.settings["health"], "deadline": deadline},
        env=ABRUPT,
    )


def flip(stage: Stage, environment: str, words: tuple[str, ...]) -> str:
    """Do one of COMMANDS on HOST; fails unless the old instance is gone afterwards. Returns what `fab` said."""
    before = instances(stage)
    said = stage.fab("-H", HOST, *words, environment=environment).stderr
    after = instances(stage)
    assert len(after) == 1, f"{words}: {after} run"
    assert not before & after, f"{words}: {before} was not stopped"
    return said


def instances(stage: Stage) -> set[str]:
    """The process ids of the instances on HOST."""
    return set(stage.lab.ssh(HOST, "systemctl show --property=MainPID --value hello@a hello@b").stdout.split()) - {"0"}


def deploys(stage: Stage, environment: str, crew: Crew, count: int, requests: int = 0) -> list[float]:
    """Do `count` deploys and rollbacks with restarts between, and more until there were so many requests.

    Returns how long each flip took, in seconds.
    """
    crew.phase("deploys")
    took: list[float] = []
    counted = 0
    while counted < count or crew.requests < requests:
        began = time.monotonic()
        words = COMMANDS[len(took) % len(COMMANDS)]
        flip(stage, environment, words)
        took.append(time.monotonic() - began)
        counted += words != ("restart",)
    # What was told to close connects once more, and has its answer counted.
    time.sleep(1)
    return took


def boots(stage: Stage, crew: Crew, count: int) -> None:
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
    crew.phase("boots")
    stage.lab.ssh(HOST, f"sudo bash -c {shlex.quote(script)}")
    crew.phase("between")


def show(title: str, tally: Tally, took: list[float]) -> None:
    """Print the figures."""
    times = " ".join(f"{seconds:.1f}" for seconds in took)
    print(f"\n== {title}, seed {SEED}: {len(took)} flips, each in (s): {times}\n{tally.figures()}", flush=True)


def nothing_failed(tally: Tally, flips: int, spanning: int) -> None:
    """Fail unless every request was answered, by as many instances as there were, with connections over each flip."""
    assert tally.failures == 0, tally.figures()
    assert {"a", "b", "stream"} <= tally.answered.keys(), tally.figures()
    assert len(tally.instances) == flips + 1, tally.figures()
    assert len(tally.spanning) == flips, tally.figures()
    assert min(tally.spanning.values()) >= spanning, tally.figures()
    assert tally.long.get("slow, begun before a flip", 0) > 0, tally.figures()
    assert tally.long.get("stream, begun before a flip", 0) > 0, tally.figures()


def test_no_request_fails_while_the_old_instance_is_replaced_three_times(stage: Stage, blue_green: str) -> None:
    with load(stage.lab, HOST, SEED) as crew:
        took = deploys(stage, blue_green, crew, 3, 15_000)

    show("blue-green, a slice", crew.tally, took)
    nothing_failed(crew.tally, len(took), 10)
    assert crew.tally.requests >= 15_000
    assert "problem" not in stage.status()[HOST]


@contextmanager
def unmarkable(stage: Stage) -> Iterator[None]:
    """No release that is live on HOST can be marked as healthy while this lasts: what comes after the switch fails."""
    mark = f"{ROOT}/releases/{stage.status()[HOST]['release']}/.warpbeam/was_live"
    # By this machine's own chattr(1): a host of Debian 13 may have none.
    there = f"/proc/{stage.lab.status(HOST).pid}/root{mark}"
    subprocess.run(["chattr", "+i", there], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", there], check=True)


def test_no_request_fails_where_the_new_instance_does_not_come_to_be(stage: Stage, blue_green: str) -> None:
    before = instances(stage)
    with load(stage.lab, HOST, SEED) as crew:
        crew.phase("failures")
        crew.await_requests(100, 30)
        with stage.fault("unhealthy", HOST):
            with begun(stage, "-H", HOST, "restart", until=f"{HOST}: health") as process:
                process.send_signal(signal.SIGINT)
                status, said = ended(process)
            sick = stage.fab("-H", HOST, "restart", expect=4, environment=blue_green)
        with unmarkable(stage):
            too_late = stage.fab("-H", HOST, "restart", expect=4, environment=blue_green)
        time.sleep(1)

    show("blue-green, three that failed", crew.tally, [])
    assert (status, "it was asked to stop; the old release" in said) == (130, True)
    assert "said 500; expected 200" in sick.stderr
    assert f"{HOST}: current" in too_late.stderr
    assert "is serving again, healthy" in too_late.stderr
    assert crew.tally.failures == 0, crew.tally.figures()
    # The last of them had the traffic for a moment.
    assert len(crew.tally.instances) == 2, crew.tally.figures()
    assert instances(stage) == before
    assert "problem" not in stage.status()[HOST]


def test_a_stream_shorter_than_the_drain_time_comes_whole_from_the_old_instance(stage: Stage, blue_green: str) -> None:
    before = stage.served(HOST)
    with begun(stage, "-H", HOST, "restart", until=f"{HOST}: start") as process:
        stream = f"http://{stage.lab.address(HOST)}/stream?ms=12000"
        with urllib.request.urlopen(stream, timeout=60) as answer:
            body = answer.read()
        meanwhile = stage.served(HOST)
        status, said = ended(process)

    assert body == b"tick\n" * 121
    assert meanwhile["pid"] != before["pid"], "it did not outlast the flip"
    assert status == 0, said
    assert "still open" not in said
    assert instances(stage) == {str(meanwhile["pid"])}


def test_a_stream_longer_than_the_drain_time_is_cut_counted_and_told(stage: Stage, blue_green: str) -> None:
    streams = {"streams": 1, "least": 50, "long": 60, "farewell": 1}
    with load(stage.lab, HOST, SEED, kept=1, fresh=1, lazy=0, slow=0, **streams) as crew:
        crew.phase("hurry")
        crew.await_requests(100, 30)
        settle(stage, drain=2)
        try:
            said = flip(stage, blue_green, ("restart",))
        finally:
            settle(stage)

    show("blue-green, streams that outlast the drain", crew.tally, [])
    told = re.search(r"(\d+) connections? w\w+ still open", said)
    assert told is not None, said
    assert "an open WebSocket counts as one" in said
    # One stream to each address: two from outside, four from inside. Nothing else was cut.
    assert told[1] == "6"
    assert crew.tally.failed == {"short body": 6}


@pytest.mark.load
def test_no_request_of_many_fails_through_twenty_deploys_and_p99_is_that_of_a_boot(
    stage: Stage, blue_green: str
) -> None:
    # The idle slot leads to a release only when there was a flip.
    flip(stage, blue_green, COMMANDS[0])
    with load(stage.lab, HOST, SEED) as crew:
        crew.phase("quiet")
        time.sleep(10)
        boots(stage, crew, 5)
        took = deploys(stage, blue_green, crew, DEPLOYS, REQUESTS)
    with load(stage.lab, HOST, SEED) as other:
        settle(stage, strategy="restart")
        try:
            other_took = deploys(stage, blue_green, other, 3)
        finally:
            settle(stage)

    show("blue-green", crew.tally, took)
    show("restart, for comparison", other.tally, other_took)
    nothing_failed(crew.tally, len(took), 50)
    # The same clients, with eyes open: they do see it when an instance is missing.
    assert other.tally.failures > 0
    assert crew.tally.requests >= REQUESTS
    assert crew.tally.latency("deploys", 0.99) <= 2 * crew.tally.latency("boots", 0.99), crew.tally.figures()
    assert "problem" not in stage.status()[HOST]
