"""History: each activation has one line on its host, with or without a command that saw its end."""

from __future__ import annotations

import getpass
import json
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.assertions import ROOT, assert_serves, commit_another_version
from tests.background import await_end, eventually, is_activating, is_serving, running_fab
from tests.environment import LabEnvironment
from tests.faults.fixture import HostFixture
from warpbeam.deploy.history import fields_of
from warpbeam.version import VERSION

US = f"{getpass.getuser()}@{socket.gethostname()}"


def lines(environment: LabEnvironment, host: str) -> list[dict[str, Any]]:
    """The history as the host keeps it; every line is whole."""
    text = environment.lab.ssh(host, f"sudo cat {ROOT}/history.jsonl").stdout
    return [json.loads(line) for line in text.splitlines()]


def told(environment: LabEnvironment, host: str) -> list[dict[str, Any]]:
    """`fab history` of one host."""
    rows = json.loads(environment.fab("history", "--lines", "500", "--json").stdout)
    return [row for row in rows if row["host"] == host]


@contextmanager
def assert_one_more_entry(environment: LabEnvironment, *hosts: str) -> Iterator[dict[str, dict[str, Any]]]:
    """Exactly one line comes to be on each of `hosts` meanwhile, and none elsewhere: the lines, by host, at its end."""
    before = {host: len(deeds(environment, host)) for host in ("web1", "web2")}
    new: dict[str, dict[str, Any]] = {}
    yield new
    for host, count in before.items():
        rows = deeds(environment, host)[count:]
        assert len(rows) == (host in hosts), rows
        jobs = [line["job"] for line in lines(environment, host) if line.get("job")]
        assert len(jobs) == len(set(jobs))
        if rows:
            new[host] = rows[0]


def deeds(environment: LabEnvironment, host: str) -> list[dict[str, Any]]:
    """`fab history` of one host without the locks that tests take away."""
    return [row for row in told(environment, host) if row["what"] != "lock.release"]


def take_lock_away(environment: LabEnvironment, host: str) -> None:
    """The activation there has ended, and the lock of its command is gone."""
    assert eventually(lambda: not is_activating(environment, host))
    environment.fab("-H", host, "lock.release", "--force")


def test_deploy_restart_and_rollback_have_a_line_each_of_who_what_and_outcome(
    environment: LabEnvironment,
) -> None:
    version = commit_another_version(environment)
    commit = environment.git("rev-parse", "HEAD")[:8]
    before = environment.status()["web1"]["release"]

    with assert_one_more_entry(environment, "web1", "web2") as new:
        environment.fab("deploy")
    for row in new.values():
        assert (row["what"], row["outcome"], row["who"]) == ("deploy", "done", US)
        assert row["warpbeam"] == VERSION
        assert (row["version"], row["commit"], row["before"]) == (version, commit, before)
        assert row["seconds"] > 0
        assert "problem" not in row
    with assert_one_more_entry(environment, "web1", "web2") as new:
        environment.fab("restart")
    assert {row["what"] for row in new.values()} == {"restart"}
    with assert_one_more_entry(environment, "web1", "web2") as new:
        environment.fab("rollback")
    assert {(row["what"], row["release"]) for row in new.values()} == {("rollback", before)}


def test_what_else_people_do_to_the_app_has_a_line_too(environment: LabEnvironment) -> None:
    live = environment.status()["web1"]["release"]
    before = len(told(environment, "web1"))
    commands = [
        ("stop",),
        ("start",),
        ("maintenance.on",),
        ("maintenance.off",),
        # Nothing was done.
        ("maintenance.off",),
        ("lock.acquire", "--reason", "quarter end"),
        ("lock.release",),
        ("lock.release",),
    ]

    for words in commands:
        environment.fab("-H", "web1", *words)

    rows = told(environment, "web1")[before:]
    assert [row["what"] for row in rows] == [
        "stop",
        "start",
        "maintenance.on",
        "maintenance.off",
        "lock.acquire: quarter end",
        "lock.release",
    ]
    assert {(row["who"], row["outcome"], row["release"]) for row in rows} == {(US, "done", live)}


def test_a_start_that_does_not_become_healthy_has_a_line_that_says_so(environment: LabEnvironment) -> None:
    environment.fab("-H", "web1", "stop")
    environment.write(health={"path": "/nowhere", "deadline": 3, "timeout": 1})
    try:
        with assert_one_more_entry(environment, "web1") as new:
            environment.fab("-H", "web1", "start", expect=4)
    finally:
        environment.write()
        environment.fab("-H", "web1", "start")

    assert (new["web1"]["what"], new["web1"]["outcome"]) == ("start", "failed")
    assert "is not healthy" in new["web1"]["problem"]


def test_a_command_killed_during_an_activation_leaves_a_line_of_who_and_outcome(
    environment: LabEnvironment,
) -> None:
    environment.version("9.9.1", fault="slow-boot")

    with assert_one_more_entry(environment, "web1") as new:
        with running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process:
            process.kill()
            process.wait()
        assert eventually(lambda: not is_activating(environment, "web1"))
        line = lines(environment, "web1")[-1]
        assert (line["version"], line["outcome"]) == ("9.9.1", "done")
        take_lock_away(environment, "web1")
        # The next command finds nothing left to write.
        assert "is live on web1 already" in environment.fab("-H", "web1", "deploy").stderr

    assert (new["web1"]["who"], new["web1"]["what"], new["web1"]["outcome"]) == (US, "deploy", "done")
    assert new["web1"]["commit"] == environment.git("rev-parse", "HEAD")[:8]
    environment.fab("-H", "web1", "rollback")


def test_a_command_that_is_killed_has_a_line_of_an_activation_that_failed_without_it(
    environment: LabEnvironment,
) -> None:
    environment.version("9.9.2", fault="unhealthy")
    # The old instance too has to boot again; two labs at once can make that slow.
    environment.write(health={"deadline": 20, "timeout": 5})

    try:
        with assert_one_more_entry(environment, "web1") as new:
            with running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process:
                process.kill()
                process.wait()
            take_lock_away(environment, "web1")
    finally:
        environment.write()

    assert (new["web1"]["who"], new["web1"]["outcome"]) == (US, "failed")
    assert "said 500; expected 200" in new["web1"]["problem"]
    assert "is serving again, healthy" in new["web1"]["problem"]


def test_an_activation_that_ctrl_c_undoes_has_a_line_that_says_so(environment: LabEnvironment) -> None:
    environment.version("9.9.3", fault="slow-boot")

    with (
        assert_one_more_entry(environment, "web1") as new,
        running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process,
    ):
        process.send_signal(signal.SIGINT)
        status, _ = await_end(process, 60)
        assert status == 130

    assert new["web1"]["outcome"] == "interrupted"
    assert "is serving again, healthy" in new["web1"]["problem"]


def test_an_activation_that_a_crash_ends_has_a_line_at_the_next_question(environment: LabEnvironment) -> None:
    old = environment.status()["web2"]
    environment.version("9.9.4", fault="slow-boot")

    with assert_one_more_entry(environment, "web2") as new:
        with running_fab(environment, "-H", "web2", "deploy", until="web2: health") as process:
            environment.lab.crash("web2")
            await_end(process, 120)
        environment.lab.boot("web2")
        assert eventually(lambda: environment.status()["web2"].get("health") == "healthy")

    assert (new["web2"]["outcome"], new["web2"]["version"], new["web2"]["who"]) == ("unknown", "9.9.4", US)
    assert f"`current` leads to {old['release']}" in new["web2"]["problem"]


def test_an_activation_that_is_killed_has_a_line_from_the_command_that_followed_it(environment: LabEnvironment) -> None:
    before = str(environment.served("web1")["version"])
    environment.version("9.9.5", fault="slow-boot")

    with assert_one_more_entry(environment, "web1") as new:
        with running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process:
            environment.lab.ssh("web1", "sudo systemctl kill --signal=KILL hello-activate")
            status, said = await_end(process, 60)
        assert status == 4, said
        assert lines(environment, "web1")[-1]["outcome"] == "unknown"

    assert new["web1"]["version"] == "9.9.5"
    # The live release is started again; the test does not wait for it.
    assert eventually(lambda: is_serving(environment, "web1", before))
    commit_another_version(environment)
    environment.fab("deploy")


def test_what_fails_before_any_activation_has_a_line_where_it_failed(environment: LabEnvironment) -> None:
    environment.version("9.9.6", fault="migrate-fails")
    with assert_one_more_entry(environment, "web1") as new:
        environment.fab("deploy", expect=4)
    assert (new["web1"]["version"], new["web1"]["outcome"]) == ("9.9.6", "failed")
    assert "the migrations of " in new["web1"]["problem"]

    version = commit_another_version(environment)
    # The upload cannot make its lists anew: a mount point cannot be removed.
    environment.lab.ssh("web2", f"sudo mount -t tmpfs none {ROOT}/activation/lists")
    try:
        with assert_one_more_entry(environment, "web2") as new:
            failed = environment.fab("deploy", expect=4)
    finally:
        environment.lab.ssh("web2", f"sudo umount {ROOT}/activation/lists")
    assert "nothing was switched on any host" in failed.stderr
    assert (new["web2"]["version"], new["web2"]["outcome"]) == (version, "failed")
    environment.fab("deploy")


@pytest.mark.parametrize("how", ["no byte", "no inode"])
def test_a_disk_that_fills_up_neither_stops_an_activation_nor_damages_its_line(
    environment: LabEnvironment, how: str
) -> None:
    fixture = HostFixture(environment.lab, "web1")
    environment.version("9.9.7" if how == "no byte" else "9.9.8", fault="slow-boot")

    try:
        if how == "no inode":
            fixture.make_inodes_scarce()
        with assert_one_more_entry(environment, "web1") as new:
            with running_fab(environment, "-H", "web1", "deploy", until="web1: health") as process:
                (fixture.fill_disk if how == "no byte" else fixture.fill_inodes)()
                status, said = await_end(process, 90)
            assert status == 0, said
            assert (lines(environment, "web1")[-1]["outcome"], lines(environment, "web1")[-1]["version"][:4]) == (
                "done",
                "9.9.",
            )
            fixture.make_room()
    finally:
        fixture.make_room()
        fixture.give_inodes_back()

    assert new["web1"]["outcome"] == "done"
    version = commit_another_version(environment)
    environment.fab("deploy")
    assert_serves(environment, version)


def test_a_line_that_a_power_loss_cut_short_is_written_anew_and_leaves_no_damage(environment: LabEnvironment) -> None:
    job = secrets.token_hex(8)
    # No other test makes a release with this time.
    release = f"20260101T{secrets.randbelow(24):02}{secrets.randbelow(60):02}{secrets.randbelow(60):02}Z"
    begin = {"at": "2026-01-01T00:00:00Z", "what": "deploy", "release": release, "who": US}
    pending = f"{job}\n12\ndone\n" + "\t".join(fields_of(begin))
    environment.lab.ssh(
        "web1",
        f'sudo -u deploy bash -c \'cat >{ROOT}/activation/pending && printf %s "{{\\"at\\":" >>{ROOT}/history.jsonl\'',
        stdin=pending + "\n",
    )

    rows = told(environment, "web1")

    assert [row["outcome"] for row in rows if row["release"] == begin["release"]] == ["unknown"]
    assert lines(environment, "web1")[-1]["job"] == job
    assert told(environment, "web1") == rows
