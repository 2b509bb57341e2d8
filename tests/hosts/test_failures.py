"""What goes wrong in a deploy: releases that are bad, hosts that are full, dead or cut off, people who press Ctrl-C."""

from __future__ import annotations

import getpass
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.stage import PROJECT, Stage
from tests.witness import another, lasting, serve, tidy, watching
from warpbeam.lab.network import host_link
from warpbeam.lab.state import read_lab

QUICK = {"deadline": 8, "timeout": 4}


@pytest.mark.parametrize(
    ("fault", "reason", "shown"),
    [
        ("crash-at-boot", "it ended by itself", "crash-at-boot: this release does not start, on purpose"),
        ("hang", "it was not healthy within 8 s: http://127.0.0.1:", "Started hello@"),
        ("unhealthy", "said 500; expected 200", "Started hello@"),
        ("wrong-port", "said no answer; expected 200", "on port 500"),
    ],
)
def test_a_release_that_does_not_become_healthy_leaves_the_old_one_serving(
    stage: Stage, fault: str, reason: str, shown: str
) -> None:
    old = {host: stage.served(host) for host in stage.status()}
    other_host = lasting(stage)["web2"]
    stage.version("9.9.0", fault=fault)
    # A crash is noticed by itself, however slow the machine; for the others the deadline must pass.
    stage.write(health=stage.settings["health"] if fault == "crash-at-boot" else QUICK)

    try:
        with watching(stage.lab):
            done = stage.fab("deploy", expect=4)
    finally:
        stage.write()

    assert "did not become live: " in done.stderr
    assert reason in done.stderr
    release = old["web1"]["release"].rpartition("/")[2]
    assert f"the old release {release} is serving again, healthy; web2 was not touched" in done.stderr
    assert shown in done.stderr
    # What happened is the last thing on the screen, below the app's own lines.
    assert done.stderr.splitlines()[-2].startswith("error: web1: ")
    serve(stage, old["web1"]["version"])
    assert {host: stage.served(host)["release"] for host in old} == {host: old[host]["release"] for host in old}
    assert lasting(stage)["web2"] == other_host
    assert stage.releases("web1")[0]["state"] == "failed"
    if fault == "crash-at-boot":
        # The way out: mend it, and deploy.
        version = another(stage)
        stage.fab("deploy")
        serve(stage, version)


def test_migrations_that_fail_stop_a_deploy_before_any_switch(stage: Stage) -> None:
    before = lasting(stage)
    stage.version("9.9.0", fault="migrate-fails")

    with watching(stage.lab):
        done = stage.fab("deploy", expect=4)

    assert "| ** (RuntimeError) migrate-fails: migrations fail, on purpose" in done.stderr
    assert "error: web1: the migrations of 2" in done.stderr
    assert "nothing was switched" in done.stderr
    assert lasting(stage) == before
    serve(stage, str(before["web1"]["version"]))


@contextmanager
def begun(stage: Stage, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """`fab WORDS…` in a process of its own, once it has said `until` on standard error; killed in the end."""
    # A background job of a shell has SIGINT ignored; a person's command has not.
    argv = ["env", "--default-signal=INT", *stage.argv(*words)]
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env={**os.environ, **stage.variables}
    )
    assert process.stderr is not None
    try:
        said = ""
        while until not in said:
            line = process.stderr.readline()
            assert line, f"it ended before it said {until!r}: {said}"
            said += line
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    """The exit status of a process and what it said since, once it has ended by itself."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it holds within that time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def activates(stage: Stage, host: str) -> bool:
    """Whether an activation runs on the host."""
    state = stage.lab.ssh(host, "systemctl show -P ActiveState hello-activate", check=False).stdout.strip()
    return state.endswith("activating")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_activation_undoes_it(stage: Stage, number: signal.Signals) -> None:
    before = stage.served("web1")
    stage.version("9.9.0", fault="slow-boot")

    with watching(stage.lab), begun(stage, "deploy", until="web1: health") as process:
        process.send_signal(number)
        status, said = ended(process)

    assert status == 130
    assert "it was asked to stop; the old release" in said
    assert "interrupted" in said.splitlines()[-1]
    serve(stage, before["version"])
    assert stage.served("web1")["release"] == before["release"]


def test_ctrl_c_in_mid_upload_leaves_nothing(stage: Stage) -> None:
    before = lasting(stage)
    blob = stage.source / "priv" / "blob"
    blob.write_bytes(random.Random(1).randbytes(8_000_000))
    stage.commit("a large file")

    try:
        with watching(stage.lab), slow_line(stage, "web1"), begun(stage, "deploy", until="web1: receive") as process:
            process.send_signal(signal.SIGINT)
            status, said = ended(process)
    finally:
        blob.unlink()
        stage.commit("no large file")

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    assert lasting(stage) == before
    serve(stage, str(before["web1"]["version"]))


@contextmanager
def slow_line(stage: Stage, host: str) -> Iterator[None]:
    """What is sent to `host` goes at 8 Mbit/s while this lasts."""
    found = read_lab(stage.lab.name)
    link = host_link(found, found.member(host))
    subprocess.run(
        ["tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", "8mbit", "burst", "32kb", "latency", "400ms"],
        check=True,
    )
    try:
        yield
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", link, "root"], check=True)


def test_ctrl_c_in_mid_build_ends_mix_on_the_build_host(stage: Stage) -> None:
    before = lasting(stage)
    another(stage)
    # It compiles for as long as it is let.
    lib = stage.source / "lib" / "endless.ex"
    lib.write_text(f"defmodule Endless do\n  # {time.time()}\n  Process.sleep(60_000)\nend\n")
    stage.commit("an endless compilation")

    try:
        with begun(stage, "deploy", until="Compiling") as process:
            process.send_signal(signal.SIGINT)
            status, said = ended(process)
    finally:
        lib.unlink()
        stage.commit("no endless compilation")

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    running = "pgrep -u deploy -f '[m]ix compile'"
    assert eventually(lambda: stage.lab.ssh("build1", running, check=False).stdout == "", 5)
    assert lasting(stage) == before
    stage.fab("deploy")


def test_ctrl_c_in_mid_migration_ends_it_on_the_host_and_switches_nothing(stage: Stage) -> None:
    before = lasting(stage)
    another(stage)
    stage.write(deploy={**stage.settings["deploy"], "migrate": "Process.sleep(120_000)"})

    def migrates() -> bool:
        return "hello-eval-" in stage.lab.ssh("web1", "systemctl list-units --plain --no-legend 'hello-eval-*'").stdout

    try:
        with watching(stage.lab), begun(stage, "deploy", until="web1: migrate") as process:
            assert eventually(migrates)
            process.send_signal(signal.SIGINT)
            status, said = ended(process)
    finally:
        stage.write()

    assert (status, said.splitlines()[-1]) == (130, "interrupted")
    assert eventually(lambda: not migrates())
    assert lasting(stage) == before
    serve(stage, str(before["web1"]["version"]))
    stage.fab("deploy")


def test_a_killed_command_leaves_an_activation_that_completes_and_the_next_command_knows(stage: Stage) -> None:
    stage.version("9.9.0", fault="slow-boot")

    with watching(stage.lab, "web1"), begun(stage, "-H", "web1", "deploy", until="web1: health") as process:
        process.kill()
        process.wait()
        during = stage.fab("-H", "web1", "deploy", expect=3)
        assert eventually(lambda: not activates(stage, "web1"))

    assert "web1: the deploy lock is held by " in during.stderr
    assert stage.status()["web1"]["version"] == "9.9.0"
    # Nobody renews the lock of a command that was killed; one need not wait until it ends by itself.
    locked = stage.fab("-H", "web1", "deploy", expect=3)
    assert re.search(r"were its command killed, it would end in [0-9]+ s", locked.stderr)
    stage.fab("-H", "web1", "lock.release", "--force")
    after = stage.fab("-H", "web1", "deploy")
    assert "is live on web1 already" in after.stderr
    serve(stage, "9.9.0", "web1")
    stage.fab("-H", "web1", "rollback")


def test_a_cut_connection_in_mid_activation_does_not_stop_it(stage: Stage, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(
        f"ServerAliveInterval 1\nServerAliveCountMax 2\nConnectTimeout 2\n{stage.lab.ssh_config.read_text()}"
    )
    stage.write(ssh={**stage.settings["ssh"], "config": str(config)})
    stage.version("9.9.0", fault="slow-boot")

    try:
        with (
            begun(stage, "-H", "web1", "deploy", until="web1: health") as process,
            cut_line(stage.lab.address("web1")),
        ):
            status, said = ended(process)
            assert eventually(lambda: answers(stage, "web1", "9.9.0"))
    finally:
        stage.write()

    assert status == 4
    assert "the connection ended in the middle" in said
    assert "status" in said.splitlines()[-1]
    assert eventually(lambda: not activates(stage, "web1"))
    assert stage.status()["web1"]["version"] == "9.9.0"
    stage.fab("-H", "web1", "lock.release", "--force")
    assert "is live on web1 already" in stage.fab("-H", "web1", "deploy").stderr
    serve(stage, "9.9.0", "web1")
    stage.fab("-H", "web1", "rollback")


@contextmanager
def cut_line(address: str) -> Iterator[None]:
    """Every packet of SSH to and from `address` is lost while this lasts; nobody is told."""
    rules = f"""table inet warpbeam_test {{
        chain out {{ type filter hook output priority 0; ip daddr {address} tcp dport 22 drop; }}
        chain in {{ type filter hook input priority 0; ip saddr {address} tcp sport 22 drop; }}
    }}"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "warpbeam_test"], check=True)


def test_of_two_deploys_at_once_one_wins_and_the_other_says_who(stage: Stage) -> None:
    stage.version("9.9.0", fault="slow-boot")

    with begun(stage, "deploy", until="web1: migrate") as winner:
        loser = stage.fab("deploy", expect=3)
        again = stage.fab("deploy", expect=3)
        status, said = ended(winner, 60)

    for refused in (loser, again):
        assert f"the deploy lock is held by {getpass.getuser()}@{socket.gethostname()} since 2" in refused.stderr
        assert "(deploy 9.9.0" in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
    assert status == 0, said
    serve(stage, "9.9.0")
    another(stage)
    stage.fab("deploy")


def filled(stage: Stage, host: str, how: str) -> AbstractContextManager[None]:
    """/opt of `host` is full in that way while this lasts."""

    @contextmanager
    def filling() -> Iterator[None]:
        # As the deploy user, last: for root, ext4 holds some blocks back.
        fill = {
            "no byte": "fallocate -l $(df --output=avail -B1 /opt | tail -n 1) /opt/filler/f; "
            "sudo -u deploy sh -c 'cat /dev/zero >/opt/filler/g 2>/dev/null'",
            "few bytes": "fallocate -l $(($(df --output=avail -B1 /opt | tail -n 1) - 9000000)) /opt/filler/f",
            "no inode": "cd /opt/filler && seq 1000000 | xargs touch 2>/dev/null",
        }[how]
        stage.lab.ssh(host, f"sudo bash -c {shlex.quote('mkdir -m 777 /opt/filler; ' + fill + '; true')}")
        try:
            yield
        finally:
            stage.lab.ssh(host, "sudo rm -rf /opt/filler")

    return filling()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("no byte", "error: web2: /opt/acme/hello is on a full disk"),
        ("few bytes", "MB are free for releases; expected "),
        ("no inode", "error: web2: /opt/acme/hello is on a disk without a free inode"),
    ],
)
def test_a_full_disk_stops_a_deploy_before_anything_is_switched(stage: Stage, how: str, reason: str) -> None:
    before = lasting(stage)
    version = another(stage)

    with watching(stage.lab):
        with filled(stage, "web2", how):
            refused = stage.fab("deploy", expect=3)
            assert lasting(stage) == before
            assert [tidy(stage.lab, host) for host in before] == ["", ""]
        stage.fab("deploy")

    assert reason in refused.stderr
    serve(stage, version)


def test_a_host_that_crashes_right_after_its_activation_boots_into_the_new_release(stage: Stage) -> None:
    version = another(stage)
    with begun(stage, "deploy", until="web1: runs") as process:
        stage.lab.crash("web1")
        stage.lab.boot("web1")
        ended(process, 120)

    assert eventually(lambda: answers(stage, "web1", version))
    stage.fab("deploy")
    serve(stage, version)


def test_a_host_that_loses_its_power_right_after_a_deploy_boots_into_the_whole_new_release(stage: Stage) -> None:
    version = another(stage)
    stage.fab("-H", "web2", "deploy")
    stage.lab.power_loss("web2")
    stage.lab.boot("web2")

    with watching(stage.lab, "web2"):
        assert eventually(lambda: answers(stage, "web2", version))
    stage.fab("deploy")
    serve(stage, version)


def test_a_host_that_crashes_in_mid_activation_boots_into_the_old_release(stage: Stage) -> None:
    old = stage.served("web2")["version"]
    stage.version("9.9.0", fault="slow-boot")
    with begun(stage, "-H", "web2", "deploy", until="web2: health") as process:
        stage.lab.crash("web2")
        status, said = ended(process, 90)
    stage.lab.boot("web2")

    assert status == 4, said
    assert "web2" in said
    assert eventually(lambda: answers(stage, "web2", old))
    another(stage)
    stage.fab("deploy")


def answers(stage: Stage, host: str, version: str) -> bool:
    """Whether the host serves that version on port 80."""
    try:
        return bool(stage.served(host)["version"] == version)
    except OSError:
        return False


def test_a_dead_host_stops_a_deploy_before_anything_is_touched(stage: Stage) -> None:
    before = stage.served("web1")
    another(stage)
    stage.lab.crash("web2")
    began = time.monotonic()

    try:
        refused = stage.fab("deploy", expect=3)
        took = time.monotonic() - began
    finally:
        stage.lab.boot("web2")

    assert "error: web2" in refused.stderr
    assert "nothing was changed on any host" in refused.stderr
    assert took < 15
    assert stage.served("web1") == before
    assert eventually(lambda: answers(stage, "web2", before["version"]))
    stage.fab("deploy")
