"""Commands that are ended in the middle: by Ctrl-C once and more than once, by a kill, by a cut connection."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.assertions import assert_current_stays_whole, assert_serves, commit_another_version, lasting_status
from tests.background import await_end, eventually, is_activating, is_serving, running_fab
from tests.environment import LabEnvironment
from tests.faults.fixture import HostFixture
from warpbeam.error import INTERRUPTED
from warpbeam.lab.network import host_link
from warpbeam.lab.state import read_lab


def emits_line(process: subprocess.Popen[str], what: str) -> bool:
    """Return whether the process says a line with `what` before its end."""
    assert process.stderr is not None
    return any(what in line for line in iter(process.stderr.readline, ""))


# One batch after the other; all in one batch, but one at a time: of the second nothing has begun either way.
@pytest.mark.parametrize("how", [(), ("--batch", "100%", "--jobs", "1")])
def test_after_ctrl_c_each_host_and_the_next_step_are_shown(environment: LabEnvironment, how: tuple[str, ...]) -> None:
    before = environment.served("web1")
    environment.version("9.9.1", fault="slow-boot")

    with running_fab(environment, "deploy", *how, until="web1: health") as process:
        process.send_signal(signal.SIGINT)
        status, said = await_end(process, 60)

    assert status == INTERRUPTED
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("web1: 2")][-1].endswith("is serving again, healthy")
    # The outcome of the activation before this one is of no interest.
    assert not [line for line in lines if line.startswith("web2: ") and ("runs" in line or "live" in line)]
    assert lines[-3:] == [
        "not touched: web2",
        "next: `fab stage status` shows what runs; the same command again goes on from there",
        "interrupted",
    ]
    assert_serves(environment, str(before["version"]))


def test_a_third_ctrl_c_leaves_at_once_and_the_host_comes_to_its_end_alone(environment: LabEnvironment) -> None:
    before = environment.served("web1")
    environment.version("9.9.2", fault="slow-boot")

    with running_fab(environment, "deploy", until="web1: health") as process:
        # Stopped, so that it cannot undo before it has been pressed often enough.
        environment.lab.ssh("web1", "sudo systemctl kill --signal=STOP hello-activate")
        try:
            process.send_signal(signal.SIGINT)
            assert emits_line(
                process, "stopping what is under way; a second Ctrl-C says what that waits for, a third leaves"
            )
            assert emits_line(process, "web1: undo")
            process.send_signal(signal.SIGINT)
            assert emits_line(process, "still ending in order: waiting for web1 (cancel)")
            process.send_signal(signal.SIGINT)
            status, said = await_end(process, 20)
        finally:
            environment.lab.ssh("web1", "sudo systemctl kill --signal=CONT hello-activate", check=False)

    assert (status, said.splitlines()[-1].startswith("left at once")) == (INTERRUPTED, True)
    assert eventually(lambda: not is_activating(environment, "web1"))
    # Nobody was left to give it back; its lease would end by itself.
    environment.fab("lock.release", "--force")
    assert_serves(environment, str(before["version"]))
    environment.version("9.9.3")
    environment.fab("deploy")
    assert_serves(environment, "9.9.3")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_activation_undoes_it(environment: LabEnvironment, number: signal.Signals) -> None:
    before = environment.served("web1")
    environment.version("9.9.0", fault="slow-boot")

    with (
        assert_current_stays_whole(environment.lab),
        running_fab(environment, "deploy", until="web1: health") as process,
    ):
        process.send_signal(number)
        status, said = await_end(process)

    assert status == 130
    assert "it was asked to stop; the old release" in said
    assert "interrupted" in said.splitlines()[-1]
    assert_serves(environment, before["version"])
    assert environment.served("web1")["release"] == before["release"]


def test_an_instance_that_ignores_signals_at_its_boot_delays_no_command(environment: LabEnvironment) -> None:
    before = environment.served("web1")
    environment.version("9.9.4", fault="endless-boot")
    since = environment.lab.ssh("web1", "date +%s").stdout.strip()

    with running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process:
        process.send_signal(signal.SIGINT)
        status, said = await_end(process)

    assert status == INTERRUPTED
    assert "is serving again, healthy" in said
    log = environment.lab.ssh("web1", f"sudo journalctl --quiet --since=@{since} -u 'hello@*'").stdout
    assert "Started hello@" in log
    # That is systemd, once all of TimeoutStopSec= is over.
    assert "timed out" not in log, log
    assert_serves(environment, str(before["version"]), "web1")


def test_ctrl_c_in_mid_upload_leaves_nothing(environment: LabEnvironment) -> None:
    before = lasting_status(environment)
    blob = environment.source / "priv" / "blob"
    blob.write_bytes(random.Random(1).randbytes(8_000_000))
    environment.commit("a large file")

    try:
        with (
            assert_current_stays_whole(environment.lab),
            slow_line(environment, "web1"),
            running_fab(environment, "deploy", until="web1: receive") as process,
        ):
            process.send_signal(signal.SIGINT)
            status, said = await_end(process)
    finally:
        blob.unlink()
        environment.commit("no large file")

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    assert lasting_status(environment) == before
    assert_serves(environment, str(before["web1"]["version"]))


@contextmanager
def slow_line(environment: LabEnvironment, host: str) -> Iterator[None]:
    """Slow the line to `host` down to 8 Mbit/s while this lasts."""
    found = read_lab(environment.lab.name)
    link = host_link(found, found.member(host))
    subprocess.run(
        ["tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", "8mbit", "burst", "32kb", "latency", "400ms"],
        check=True,
    )
    try:
        yield
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", link, "root"], check=True)


def test_ctrl_c_in_mid_build_ends_mix_on_the_build_host(environment: LabEnvironment) -> None:
    before = lasting_status(environment)
    commit_another_version(environment)
    # It compiles for as long as it is let.
    lib = environment.source / "lib" / "endless.ex"
    lib.write_text(f"defmodule Endless do\n  # {time.time()}\n  Process.sleep(60_000)\nend\n")
    environment.commit("an endless compilation")

    try:
        with running_fab(environment, "deploy", until="Compiling") as process:
            process.send_signal(signal.SIGINT)
            status, said = await_end(process)
    finally:
        lib.unlink()
        environment.commit("no endless compilation")

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    running = "pgrep -u deploy -f '[m]ix compile'"
    assert eventually(lambda: environment.lab.ssh("build1", running, check=False).stdout == "", 5)
    assert lasting_status(environment) == before
    environment.fab("deploy")


def test_ctrl_c_in_mid_migration_ends_it_on_the_host_and_switches_nothing(environment: LabEnvironment) -> None:
    before = lasting_status(environment)
    commit_another_version(environment)
    environment.write(deploy={**environment.settings["deploy"], "migrate": "Process.sleep(120_000)"})

    def migrates() -> bool:
        return (
            "hello-eval-"
            in environment.lab.ssh("web1", "systemctl list-units --plain --no-legend 'hello-eval-*'").stdout
        )

    try:
        with (
            assert_current_stays_whole(environment.lab),
            running_fab(environment, "deploy", until="web1: migrate") as process,
        ):
            assert eventually(migrates)
            process.send_signal(signal.SIGINT)
            status, said = await_end(process)
    finally:
        environment.write()

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    assert eventually(lambda: not migrates())
    assert lasting_status(environment) == before
    assert_serves(environment, str(before["web1"]["version"]))
    environment.fab("deploy")


def test_the_activation_of_a_killed_command_completes_and_the_next_command_knows(
    environment: LabEnvironment,
) -> None:
    environment.version("9.9.0", fault="slow-boot")

    with (
        assert_current_stays_whole(environment.lab, "web1"),
        running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process,
    ):
        process.kill()
        process.wait()
        during = environment.fab("-H", "web1", "deploy", expect=3)
        assert eventually(lambda: not is_activating(environment, "web1"))

    assert "web1: the deploy lock is held by " in during.stderr
    assert environment.status()["web1"]["version"] == "9.9.0"
    # Nobody renews the lock of a command that was killed; one need not wait until it ends by itself.
    locked = environment.fab("-H", "web1", "deploy", expect=3)
    assert re.search(r"were its command killed, it would end in [0-9]+ s", locked.stderr)
    environment.fab("-H", "web1", "lock.release", "--force")
    after = environment.fab("-H", "web1", "deploy")
    assert "is live on web1 already" in after.stderr
    assert_serves(environment, "9.9.0", "web1")
    environment.fab("-H", "web1", "rollback")


@contextmanager
def impatient(environment: LabEnvironment, directory: Path, connect_timeout: int) -> Iterator[None]:
    """A connection is given up when nothing is heard of its host for some two seconds, while this lasts."""
    config = directory / "ssh_config"
    config.write_text(
        f"ServerAliveInterval 1\nServerAliveCountMax 2\nConnectTimeout {connect_timeout}\n"
        f"{environment.lab.ssh_config.read_text()}"
    )
    environment.write(ssh={**environment.settings["ssh"], "config": str(config)})
    try:
        yield
    finally:
        environment.write()


def test_a_cut_connection_in_mid_activation_does_not_stop_it(environment: LabEnvironment, tmp_path: Path) -> None:
    environment.version("9.9.0", fault="slow-boot")

    with (
        impatient(environment, tmp_path, 2),
        running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process,
        cut_line(environment, "web1"),
    ):
        status, said = await_end(process)
        assert eventually(lambda: is_serving(environment, "web1", "9.9.0"))

    assert status == 4
    assert "the connection ended in the middle" in said
    assert "status" in said.splitlines()[-1]
    assert eventually(lambda: not is_activating(environment, "web1"))
    assert environment.status()["web1"]["version"] == "9.9.0"
    environment.fab("-H", "web1", "lock.release", "--force")
    assert "is live on web1 already" in environment.fab("-H", "web1", "deploy").stderr
    assert_serves(environment, "9.9.0", "web1")
    environment.fab("-H", "web1", "rollback")


def test_after_a_short_cut_the_outcome_is_read_back_and_the_deploy_completes(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    environment.version("9.9.0", fault="slow-boot")

    with (
        impatient(environment, tmp_path, 30),
        running_fab(environment, "-H", "web1", "deploy", "--force", until="web1: health") as process,
    ):
        with cut_line(environment, "web1"):
            assert emits_line(process, "asking how it ended")
        status, said = await_end(process)

    assert status == 0, said
    assert "web1: runs " in said
    assert_serves(environment, "9.9.0", "web1")
    environment.fab("-H", "web1", "rollback")


@contextmanager
def cut_line(environment: LabEnvironment, host: str) -> Iterator[None]:
    """Every packet of SSH to and from `host` is lost while this lasts, without an answer."""
    fixture = HostFixture(environment.lab, host)
    # In the host, and not by way of SSH.
    drop = "type filter hook {0} priority 0; tcp {1} 22 drop;"
    chains = f"chain in {{ {drop.format('input', 'dport')} }}; chain out {{ {drop.format('output', 'sport')} }};"
    fixture.sh(f"nft 'table inet warpbeam_test {{ {chains} }}'")
    try:
        yield
    finally:
        fixture.sh("nft delete table inet warpbeam_test")
