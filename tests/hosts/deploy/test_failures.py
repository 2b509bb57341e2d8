"""Failed deploys: bad releases, failing migrations, full disks, another deploy at the same time."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.assertions import (
    assert_current_stays_whole,
    assert_serves,
    commit_another_version,
    find_leftovers,
    lasting_status,
)
from tests.background import await_end, running_fab
from tests.environment import LabEnvironment

QUICK = {"deadline": 8, "timeout": 4}


@pytest.mark.parametrize(
    ("fault", "reason", "shown"),
    [
        ("crash-at-boot", "it ended by itself", "crash-at-boot: this release does not start, on purpose"),
        ("crash-after-2s", "it ended by itself", "Started hello@"),
        ("hang", "it was not healthy within 8 s: http://", "Started hello@"),
        ("unhealthy", "said 500; expected 200", "Started hello@"),
        ("wrong-port", "said no answer; expected 200", "on port 500"),
    ],
)
def test_a_release_that_does_not_become_healthy_leaves_the_old_one_serving(
    environment: LabEnvironment, fault: str, reason: str, shown: str
) -> None:
    old = {host: environment.served(host) for host in environment.status()}
    other_host = lasting_status(environment)["web2"]
    environment.version("9.9.0", fault=fault)
    # A crash is noticed by itself, however slow the machine, while an instance must stay healthy; for the others the
    # deadline must pass.
    environment.write(health={**environment.settings["health"], "settle": 30} if fault.startswith("crash") else QUICK)

    try:
        with assert_current_stays_whole(environment.lab):
            done = environment.fab("deploy", expect=4)
    finally:
        environment.write()

    assert "did not become live: " in done.stderr
    assert reason in done.stderr
    release = old["web1"]["release"].rpartition("/")[2]
    assert f"the old release {release} is serving again, healthy; web2 was not touched" in done.stderr
    assert shown in done.stderr
    # The reason is the last thing on the screen, below the app's own lines.
    assert done.stderr.splitlines()[-2].startswith("error: web1: ")
    assert_serves(environment, old["web1"]["version"])
    assert {host: environment.served(host)["release"] for host in old} == {host: old[host]["release"] for host in old}
    assert lasting_status(environment)["web2"] == other_host
    assert environment.releases("web1")[0]["state"] == "failed"
    if fault == "crash-at-boot":
        # The way out: mend it, and deploy.
        version = commit_another_version(environment)
        environment.fab("deploy")
        assert_serves(environment, version)


def test_migrations_that_fail_stop_a_deploy_before_any_switch(environment: LabEnvironment) -> None:
    before = lasting_status(environment)
    environment.version("9.9.0", fault="migrate-fails")

    with assert_current_stays_whole(environment.lab):
        done = environment.fab("deploy", expect=4)

    # Once, as it came, with its cause before it.
    assert done.stderr.count("** (RuntimeError) migrate-fails: migrations fail, on purpose") == 1
    assert "error: web1: the migrations of 2" in done.stderr
    assert "nothing was switched" in done.stderr
    assert f"as before, web1, web2: {before['web1']['release']}" in done.stderr
    assert lasting_status(environment) == before
    assert_serves(environment, str(before["web1"]["version"]))


def test_of_two_deploys_at_once_one_wins_and_the_other_says_who(environment: LabEnvironment) -> None:
    commit = environment.version("9.9.0", fault="slow-boot")

    with running_fab(environment, "deploy", until="web1: migrate") as winner:
        loser = environment.fab("deploy", expect=3)
        again = environment.fab("deploy", expect=3)
        holders = json.loads(environment.fab("lock.status", "--json").stdout)
        status, said = await_end(winner, 60)

    me = f"{getpass.getuser()}@{socket.gethostname()}"
    for row in holders:
        assert (row["who"], row["why"], row["version"]) == (me, "deploy", f"9.9.0 ({commit[:8]})")
        assert row["since"] == holders[0]["since"]
    for refused in (loser, again):
        assert f"the deploy lock is held by {me} since {holders[0]['since']} (deploy 9.9.0" in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
    assert status == 0, said
    assert_serves(environment, "9.9.0")
    commit_another_version(environment)
    environment.fab("deploy")


def filled(environment: LabEnvironment, host: str, how: str) -> AbstractContextManager[None]:
    """Fill /opt of `host` so while this lasts."""

    @contextmanager
    def filling() -> Iterator[None]:
        # The deploy user fills the disk last: ext4 holds some blocks back for root.
        fill = {
            "no byte": "fallocate -l $(df --output=avail -B1 /opt | tail -n 1) /opt/filler/f; "
            "sudo -u deploy sh -c 'cat /dev/zero >/opt/filler/g 2>/dev/null'",
            "few bytes": "fallocate -l $(($(df --output=avail -B1 /opt | tail -n 1) - 9000000)) /opt/filler/f",
            "no inode": "cd /opt/filler && seq 1000000 | xargs touch 2>/dev/null",
        }[how]
        environment.lab.ssh(host, f"sudo bash -c {shlex.quote('mkdir -m 777 /opt/filler; ' + fill + '; true')}")
        try:
            yield
        finally:
            environment.lab.ssh(host, "sudo rm -rf /opt/filler")

    return filling()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("no byte", "error: web2: /opt/acme/hello is on a full disk"),
        ("few bytes", "MB are free for releases; expected "),
        ("no inode", "error: web2: /opt/acme/hello is on a disk without a free inode"),
    ],
)
def test_a_full_disk_stops_a_deploy_before_anything_is_switched(
    environment: LabEnvironment, how: str, reason: str
) -> None:
    before = lasting_status(environment)
    version = commit_another_version(environment)

    with assert_current_stays_whole(environment.lab):
        with filled(environment, "web2", how):
            refused = environment.fab("deploy", expect=3)
            assert lasting_status(environment) == before
            assert [find_leftovers(environment.lab, host) for host in before] == ["", ""]
        environment.fab("deploy")

    assert reason in refused.stderr
    assert_serves(environment, version)


@contextmanager
def little_memory(environment: LabEnvironment, host: str) -> Iterator[None]:
    """`host` says that it has 1 MiB of memory to spare while this lasts."""
    said = "sed 's/^MemAvailable:.*/MemAvailable: 1024 kB/' /proc/meminfo >/tmp/meminfo"
    environment.lab.ssh(host, f"{said} && sudo mount --bind /tmp/meminfo /proc/meminfo")
    try:
        yield
    finally:
        environment.lab.ssh(host, "sudo umount /proc/meminfo")


def test_without_memory_for_two_instances_nothing_begins_them_side_by_side(environment: LabEnvironment) -> None:
    # So that there is one to go back to.
    commit_another_version(environment)
    environment.fab("deploy")
    before = lasting_status(environment)
    environment.write(deploy={**environment.settings["deploy"], "strategy": "blue-green"})
    try:
        with little_memory(environment, "web2"):
            for words in (("deploy", "--force"), ("rollback",), ("restart",)):
                refused = environment.fab(*words, expect=3)
                assert re.search(r"web2: 1[.]\d MB of memory are free; a second instance beside", refused.stderr)
    finally:
        environment.write()

    assert lasting_status(environment) == before
    assert [find_leftovers(environment.lab, host) for host in before] == ["", ""]


# Fails where a job makes its last step last, once `current` leads to another slot than before.
UNSYNCED = """#!/bin/bash
if [[ "$*" == '-f -- /opt/acme/hello' && $(readlink /opt/acme/hello/current) != slots/{slot} ]]; then exit 1; fi
exec /usr/bin/sync "$@"
"""


def test_what_fails_once_a_release_is_live_is_reported_and_the_release_stays_live(environment: LabEnvironment) -> None:
    slot = environment.status()["web1"]["slot"]
    version = commit_another_version(environment)
    environment.lab.ssh("web1", "sudo install -m 755 /dev/stdin /usr/local/bin/sync", stdin=UNSYNCED.format(slot=slot))
    try:
        done = environment.fab("deploy")
    finally:
        environment.lab.ssh("web1", "sudo rm /usr/local/bin/sync")

    told = 'web1: warning: `sync -f -- "$root"` failed with status 1 after the release had become live'
    assert told in done.stderr
    assert_serves(environment, version)
    assert {row["health"] for row in environment.status().values()} == {"healthy"}
    last = [row for row in json.loads(environment.fab("history", "--json").stdout) if row["host"] == "web1"][-1]
    assert last["outcome"] == "done"
    assert "problem" not in last
    # The rest of the activation is done: one instance runs, and the lock is free.
    running = "systemctl is-active hello@a hello@b"
    assert sorted(environment.lab.ssh("web1", running, check=False).stdout.split()) == ["active", "inactive"]
    environment.fab("restart")
