"""Deploys behind a load balancer: the host's health is 503 for a while before anything is switched."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.environment import LabEnvironment
from tests.timeouts import ANSWER, LONG


def health_parameters(environment: LabEnvironment, host: str) -> tuple[int, str]:
    """The status of the health path and the slot that serves, as seen at the public port."""
    address = f"http://{environment.lab.address(host)}"
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=ANSWER) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    with urllib.request.urlopen(f"{address}/", timeout=ANSWER) as answer:
        return status, json.loads(answer.read())["slot"]


def watch(
    environment: LabEnvironment, *words: str, **deploy: Any
) -> tuple[list[tuple[float, int, str]], subprocess.CompletedProcess[str]]:
    """Run `fab -H web1 WORDS…`; what `probe` saw meanwhile, each with its time, and how it ended."""
    environment.write(deploy={**environment.settings["deploy"], **deploy})
    seen = []
    try:
        with subprocess.Popen(
            environment.argv("-H", "web1", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment.variables},
        ) as process:
            while process.poll() is None:
                try:
                    seen.append((time.monotonic(), *health_parameters(environment, "web1")))
                except OSError:
                    # With strategy `restart` there is a moment without an instance.
                    seen.append((time.monotonic(), 0, ""))
                time.sleep(0.1)
            out, err = process.communicate()
    finally:
        environment.write()
    return seen, subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.mark.parametrize("strategy", ["blue-green", "restart"])
def test_the_old_slot_is_unhealthy_for_the_balancer_before_the_switch_but_serves(
    environment: LabEnvironment, strategy: str
) -> None:
    environment.fab("deploy")
    old = health_parameters(environment, "web1")[1]
    new = "b" if old == "a" else "a"

    seen, done = watch(environment, "deploy", "--force", strategy=strategy, balancer_drain=3)

    assert done.returncode == 0, done.stderr
    assert "web1: balancer" in done.stderr
    away = [at for at, status, slot in seen if (status, slot) == (503, old)]
    switched = min(at for at, status, slot in seen if slot == new)
    assert min(away) < switched - 2.5
    assert max(away) < switched
    # From the first 503 on the old slot says nothing else, and the new one is healthy from its first answer on.
    assert {status for at, status, slot in seen if slot == old and at > min(away)} == {503}
    assert {status for _, status, slot in seen if slot == new} == {200}
    if strategy == "blue-green":
        assert all(slot for _, _, slot in seen)


@pytest.mark.parametrize("how", ["interrupted", "killed on the host"])
def test_a_deploy_that_ends_meanwhile_leaves_the_host_in_the_balancer(environment: LabEnvironment, how: str) -> None:
    environment.fab("deploy")
    before = environment.status()["web1"]
    environment.write(deploy={**environment.settings["deploy"], "strategy": "blue-green", "balancer_drain": 60})
    try:
        with subprocess.Popen(
            environment.argv("-H", "web1", "deploy", "--force"),
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment.variables},
        ) as process:
            assert_health_becomes(environment, 503)
            if how == "interrupted":
                process.terminate()
            else:
                environment.lab.ssh("web1", "sudo systemctl kill --signal=KILL hello-activate")
            _, err = process.communicate(timeout=LONG)
    finally:
        environment.write()

    assert process.returncode in (4, 130), err
    assert_health_becomes(environment, 200)
    after = environment.status()["web1"]
    assert (after["pid"], after["health"]) == (before["pid"], "healthy")


def assert_health_becomes(environment: LabEnvironment, status: int) -> None:
    deadline = time.monotonic() + LONG
    while health_parameters(environment, "web1")[0] != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)
