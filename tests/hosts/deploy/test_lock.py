"""The deploy lock: all hosts or none, a lease nobody can leave behind, a freeze a person can ask for."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.background import eventually
from tests.environment import PROJECT, LabEnvironment
from tests.timeouts import LONG

ROOT = "/opt/acme/hello"
ME = f"{getpass.getuser()}@{socket.gethostname()}"
# `fab` with a lease of seconds, for those who have no minutes: set before anything else takes the numbers from there.
SHORT = """
import sys
from warpbeam.deploy import lock as lease
lease.LEASE_SECONDS, lease.RENEW_EVERY = 6, 1.0
from fabric.main import program
sys.exit(program.run())
"""


def locks(environment: LabEnvironment) -> dict[str, str]:
    return {host: row["lock"] for host, row in holders(environment).items()}


def holders(environment: LabEnvironment) -> dict[str, dict[str, Any]]:
    """Return the answers of `lock.status`, by host."""
    return {row["host"]: row for row in json.loads(environment.fab("lock.status", "--json").stdout)}


def uptime(environment: LabEnvironment, host: str) -> float:
    """The host's own, in seconds."""
    return float(environment.lab.ssh(host, "cat /proc/uptime").stdout.split()[0])


def is_over(environment: LabEnvironment, host: str, ends: int) -> bool:
    """Return whether a lease that ends at that uptime of the host has ended."""
    return uptime(environment, host) > ends + 1


def test_a_freeze_keeps_everybody_from_deploying_until_it_is_released(environment: LabEnvironment) -> None:
    environment.fab("lock.acquire", "--reason", "quarter end")
    try:
        refused = environment.fab("restart", expect=3)

        assert "(freeze: quarter end)" in refused.stderr
        assert "hint: it is a freeze: `fab stage lock.release` ends it" in refused.stderr
        assert "--wait" not in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
        rows = holders(environment)
        assert list(rows) == ["web1", "web2"]
        for row in rows.values():
            assert (row["lock"], row["who"], row["why"], row["version"]) == ("frozen", ME, "freeze: quarter end", "")
            assert f"the deploy lock is held by {ME} since {row['since']} (freeze: quarter end)" in refused.stderr
    finally:
        environment.fab("lock.release")
    assert locks(environment) == {"web1": "free", "web2": "free"}
    environment.fab("restart")


def test_a_freeze_survives_a_reboot(environment: LabEnvironment) -> None:
    environment.fab("lock.acquire", "--reason", "quarter end")
    environment.lab.crash("web1")
    environment.lab.boot("web1")

    assert locks(environment) == {"web1": "frozen", "web2": "frozen"}
    environment.fab("lock.release")
    assert locks(environment) == {"web1": "free", "web2": "free"}


def test_a_freeze_needs_a_reason(environment: LabEnvironment) -> None:
    assert "needs a reason" in environment.fab("lock.acquire", expect=2).stderr


# In place of flock(1), which everything that takes or gives back the lock begins with: a line each.
COUNTED = """#!/bin/sh
echo >>/tmp/guards
exec /usr/bin/flock "$@"
"""


def test_a_host_whose_lock_was_taken_in_vain_is_asked_once_to_give_it_back(environment: LabEnvironment) -> None:
    environment.lab.ssh("web1", "sudo install -m 755 /dev/stdin /usr/local/bin/flock", stdin=COUNTED)
    environment.lab.ssh("web1", "sudo install -m 666 /dev/null /tmp/guards")
    environment.fab("-H", "web2", "lock.acquire", "--reason", "only web2")
    try:
        environment.fab("restart", expect=3)

        assert environment.lab.ssh("web1", "wc -l </tmp/guards").stdout == "2\n"
        assert locks(environment)["web1"] == "free"
    finally:
        environment.fab("-H", "web2", "lock.release")
        environment.lab.ssh("web1", "sudo rm /usr/local/bin/flock /tmp/guards")


def test_a_lock_on_one_host_gives_back_those_of_the_others(environment: LabEnvironment) -> None:
    environment.fab("-H", "web2", "lock.acquire", "--reason", "only web2")
    try:
        environment.fab("restart", expect=3)
        assert locks(environment) == {"web1": "free", "web2": "frozen"}

        in_vain = environment.fab("restart", "--wait", "2", expect=3)
        assert "waiting" in in_vain.stderr
        assert "nothing was changed on any host" in in_vain.stderr
        assert locks(environment) == {"web1": "free", "web2": "frozen"}
    finally:
        environment.fab("lock.release")


def test_wait_goes_on_when_the_lock_comes_free(environment: LabEnvironment) -> None:
    environment.fab("lock.acquire", "--reason", "soon over")
    waiting = subprocess.Popen(
        environment.argv("restart", "--wait", "60"),
        cwd=PROJECT,
        env={**os.environ, **environment.variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    # The command says that it waits before the lock comes free, or it has ended.
    lines = iter(waiting.stderr.readline, "")
    said = [next(line for line in lines if "waiting" in line)]
    environment.fab("lock.release")
    said += lines

    assert waiting.wait(timeout=LONG) == 0, said


def test_the_lock_of_a_killed_command_ends_with_its_lease_or_by_lock_release(
    environment: LabEnvironment,
) -> None:
    running = subprocess.Popen(
        environment.argv("restart"), cwd=PROJECT, env={**os.environ, **environment.variables}, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + LONG
    while not environment.lab.ssh("web1", f"sudo cat {ROOT}/lock", check=False).stdout:
        assert time.monotonic() < deadline
    running.send_signal(signal.SIGKILL)
    running.wait()
    held = locks(environment)

    assert held["web1"].startswith("held, ")
    assert 0 < int(held["web1"].split()[1]) <= 90
    assert "no freeze" in environment.fab("lock.release", expect=3).stderr
    environment.fab("lock.release", "--force")
    for _ in range(30):
        done = environment.fab("restart", expect=None)
        if done.returncode == 0:
            break
        # The activation that the killed command began goes on; it is waited for, not run over.
        assert "an activation is running" in done.stderr
        time.sleep(1)
    assert all(row["health"] == "healthy" for row in environment.status().values())


def test_a_lease_whose_command_is_gone_ends_by_itself(environment: LabEnvironment) -> None:
    script = f"""
        read -r now _ </proc/uptime
        boot=$(cat /proc/sys/kernel/random/boot_id)
        printf '%s\\n' deadbeef $boot $((${{now%.*}} + 15)) '{{}}' 'one who is gone' | sudo -u deploy tee {ROOT}/lock
    """
    environment.lab.ssh("web1", f"bash -c {shlex.quote(script)}")

    done = environment.fab("restart", "--wait", "60")

    assert "the deploy lock is held by one who is gone; waiting" in done.stderr
    assert locks(environment) == {"web1": "free", "web2": "free"}


def test_a_lease_is_renewed_for_as_long_as_its_command_lives(environment: LabEnvironment, tmp_path: Path) -> None:
    # Nothing is asked of the hosts while this hook runs; and it runs once.
    hook = {"run": f"mkdir {tmp_path}/begun || exit 1; until [ -e {tmp_path}/over ]; do sleep 0.1; done"}
    environment.write(hooks={"restart": {"before": [hook]}})
    argv = [sys.executable, "-c", SHORT, *environment.argv("restart")[1:]]
    with subprocess.Popen(argv, cwd=PROJECT, env=environment.environ, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert eventually((tmp_path / "begun").exists)
            taken = holders(environment)
            for host in taken:
                ends = int(environment.lab.ssh(host, f"sudo sed -n 3p {ROOT}/lock").stdout)
                assert eventually(partial(is_over, environment, host, ends))
            refused = environment.fab("restart", expect=3)
            again = holders(environment)
        finally:
            (tmp_path / "over").touch()
            _, said = running.communicate(timeout=LONG)
            environment.write()

    assert f"the deploy lock is held by {ME} since {taken['web1']['since']} (restart)" in refused.stderr
    for row in (*taken.values(), *again.values()):
        assert row["lock"].startswith("held, ")
        assert (row["who"], row["why"], row["version"]) == (ME, "restart", "")
        assert row["since"] == taken["web1"]["since"]
    assert running.returncode == 0, said


def test_a_lease_of_an_earlier_boot_counts_no_more(environment: LabEnvironment) -> None:
    lock = "\\n".join(["deadbeef", "00000000-0000-0000-0000-000000000000", "99999999", "{}", "somebody"])
    environment.lab.ssh("web1", f"printf '{lock}\\n' | sudo -u deploy tee {ROOT}/lock >/dev/null")

    assert locks(environment)["web1"] == "free"
    environment.fab("restart")


def test_an_activation_refuses_when_the_lock_is_no_longer_ours(environment: LabEnvironment) -> None:
    boot = environment.lab.ssh("web2", "cat /proc/sys/kernel/random/boot_id").stdout.strip()
    running = subprocess.Popen(
        environment.argv("restart", "--batch", "1"),
        cwd=PROJECT,
        env={**os.environ, **environment.variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LONG
    while not environment.lab.ssh("web2", f"sudo cat {ROOT}/lock", check=False).stdout:
        assert time.monotonic() < deadline
    lock = "\\n".join(["another", boot, "99999999", "{}", "somebody else"])
    environment.lab.ssh(
        "web2", f"printf '{lock}\\n' | sudo -u deploy tee {ROOT}/lock.x >/dev/null; sudo mv {ROOT}/lock.x {ROOT}/lock"
    )
    _, said = running.communicate(timeout=LONG)

    assert running.returncode == 4, said
    assert "the deploy lock is no longer ours; it is held by somebody else" in said
    assert locks(environment)["web2"].startswith("held")
    environment.fab("lock.release", "--force")
