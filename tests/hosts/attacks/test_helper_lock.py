"""A caller of the helper keeps no other one waiting: not by stopping it, nor by leaving its output unread."""

from __future__ import annotations

import os
import pty
import time

import pytest

from tests.attack import HELPER, HOST, ROOT
from tests.background import eventually
from tests.environment import LabEnvironment
from tests.lab import LabHandle
from warpbeam.lab.client import ssh_argv

LOCK = "/run/warpbeam-hello.lock"
# A writer to a pipe that is open for both waits as soon as the pipe is full.
UNREAD = f"""
use Fcntl; $^F = 9; alarm 120; unlink 'unread'; system 'mkfifo', 'unread'; sysopen F, 'unread', O_RDWR or die;
fcntl F, 1031, 4096 or die; syswrite(F, 'x' x 4096) == 4096 or die;
open STDOUT, '>&F'; open STDERR, '>&F'; exec 'sudo', '-n', '{HELPER}', 'reconcile'
"""


def is_free(lab: LabHandle) -> bool:
    """Return whether the helper's lock can be had within a few seconds."""
    return lab.ssh(HOST, f"sudo flock -w 5 {LOCK} true", check=False).returncode == 0


def test_words_that_nobody_reads_keep_nobody_from_the_lock(environment: LabEnvironment) -> None:
    lab = environment.lab
    # So that there is something to say.
    lab.ssh(HOST, f"rm {ROOT}/current", "deploy")
    run = "cd && cat >unread.pl && (setsid perl unread.pl </dev/null >/dev/null 2>&1 &)"
    lab.ssh(HOST, run, "deploy", stdin=UNREAD)
    try:
        assert eventually(lambda: lab.ssh(HOST, f"test -L {ROOT}/current", "deploy", check=False).returncode == 0)
        free = is_free(lab)
        asked = lab.ssh(HOST, "pgrep -x warpbeam-helper", check=False).stdout
    finally:
        lab.ssh(HOST, "sudo pkill -KILL -x warpbeam-helper; sudo rm -f /home/deploy/unread*")

    # It waits for its reader, and keeps nothing meanwhile.
    assert asked != ""
    assert free
    assert environment.status()[HOST]["health"] == "healthy"


@pytest.mark.parametrize("key", [b"\x1a"], ids=["Ctrl-Z"])
def test_no_key_stops_the_helper_on_its_terminal(environment: LabEnvironment, key: bytes) -> None:
    argv = [*ssh_argv(environment.lab.name, HOST)[:-1], "-tt", "-l", "deploy", HOST, "exec bash --norc -i"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    try:
        time.sleep(2)
        held = []
        for wait in (0.09, 0.11, 0.13, 0.15):
            os.write(terminal, f"sudo -n {HELPER} reconcile\n".encode())
            time.sleep(wait)
            os.write(terminal, key)
            held.append(not is_free(environment.lab))
            stopped = environment.lab.ssh(
                HOST, "ps -eo stat,user,args | grep '^T.* root .*bash -p .*warpbeam-helper' || true"
            ).stdout
            assert environment.lab.ssh(HOST, stopped).stdout == ""
            os.write(terminal, b"fg\n")
            time.sleep(1)
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        environment.lab.ssh(HOST, "sudo pkill -KILL -x warpbeam-helper", check=False)

    assert held == [False] * len(held)
