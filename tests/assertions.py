"""Assertions of an observer on the hosts: during a command, and after it."""

from __future__ import annotations

import ctypes
import os
import shlex
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.environment import LabEnvironment
from tests.lab import LabHandle
from tests.timeouts import LONG
from warpbeam.lab import cgroup
from warpbeam.lab.client import ssh_argv

ROOT = "/opt/acme/hello"
# A file that a new release has in common with the one before.
DAMAGED = "bin/epmd"
APP_HOSTS = ("web1", "web2")
# linux/inotify.h
IN_MOVED_FROM, IN_CREATE, IN_DELETE, IN_Q_OVERFLOW = 0x40, 0x100, 0x200, 0x4000

# `current` is entered, not read: so one look is at one directory, whatever is renamed meanwhile. A directory seen for
# the first time is verified byte for byte; now and then every file of it is asked for again. It says when it has
# looked for the first time, and looks a last time when its input has ended.
LOOK = r"""
cd / && looks=0 seen=' ' bad=0 ended=false
say() { echo "BAD $(date +%T.%N): $1"; bad=$((bad + 1)); ((bad < 5)) || exit 1; }
while true; do
  looks=$((looks + 1))
  if ! cd -P ROOT/current/ 2>/dev/null; then
    say "current leads nowhere: $(readlink ROOT/current)"
  elif [[ $seen != *" $PWD "* ]]; then
    seen+="$PWD "
    cut -d ' ' -f 2- .warpbeam/manifest | sha256sum --check --quiet --strict >/dev/null 2>&1 || say "$PWD is damaged"
  else
    [[ -x bin/hello && -s .warpbeam/manifest ]] || say "$PWD has no bin/hello or no manifest"
    if ((looks % 16 == 0)); then
      while read -r _ _ path; do [[ -e $path ]] || say "$PWD has no $path"; done <.warpbeam/manifest
    fi
  fi
  ((looks > 1)) || echo WATCHING
  ! $ended || break
  read -r -t 0.03 || (($? > 128)) || ended=true
done
echo "LOOKS $looks BAD $bad AT$seen"
""".replace("ROOT", ROOT)


@contextmanager
def assert_current_stays_whole(lab: LabHandle, *hosts: str) -> Iterator[None]:
    """While this lasts, `current` on each of `hosts` (default: every app host) must lead to a whole release.

    Fails the test where it did not, were it for a moment.
    """
    onlookers = {host: _onlooker(lab, host) for host in hosts or APP_HOSTS}
    for onlooker in onlookers.values():
        assert onlooker.stdout is not None
        # Read the rest of its output once it has ended.
        onlooker.stdout.readline()
    with ExitStack() as stack:
        events = {host: stack.enter_context(_removals(lab, host)) for host in onlookers}
        try:
            yield
        finally:
            said = {host: process.communicate("", timeout=LONG) for host, process in onlookers.items()}
        gone = {host: names() for host, names in events.items()}
    assert not any("current" in names for names in gone.values()), f"`current` was taken away: {gone}"
    for host, (out, err) in said.items():
        assert " BAD 0 AT" in out, f"the onlooker on {host} saw: {out}{err}"


@contextmanager
def recorded_names(lab: LabHandle, directory: str, *hosts: str) -> Iterator[Callable[[], dict[str, list[str]]]]:
    """While this lasts, and afterwards: the names that are made right below `directory` on `hosts`, however shortly."""
    names: dict[str, list[str]] = {}
    with ExitStack() as stack:
        events = {host: stack.enter_context(_events(lab, host, directory, IN_CREATE)) for host in hosts}
        try:
            yield lambda: names
        finally:
            names.update({host: told() for host, told in events.items()})


def _removals(lab: LabHandle, host: str) -> AbstractContextManager[Callable[[], list[str]]]:
    """While this lasts, what is removed or moved away right below ROOT on `host`; call it for the names so far.

    A rename over a name is no removal of that name.
    """
    return _events(lab, host, ROOT, IN_MOVED_FROM | IN_DELETE)


@contextmanager
def _events(lab: LabHandle, host: str, directory: str, mask: int) -> Iterator[Callable[[], list[str]]]:
    """While this lasts, what happens right below `directory` on `host`; call it for the names since the last call.

    A look every now and then misses the millisecond between `rm` and `ln`; the kernel does not. It is this machine's
    own, so inotify(7) can look into the host.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    leader = cgroup.leader(lab.name, host)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        added = libc.inotify_add_watch(watch, f"/proc/{leader}/root{directory}".encode(), mask)
        assert watch >= 0 and added >= 0, os.strerror(ctypes.get_errno())
        yield lambda: list(_names(watch))
    finally:
        os.close(watch)


def _names(watch: int) -> Iterator[str]:
    while True:
        try:
            events = os.read(watch, 1 << 16)
        except BlockingIOError:
            return
        while events:
            _, mask, _, size = struct.unpack_from("iIII", events)
            assert not mask & IN_Q_OVERFLOW, "events were lost"
            yield events[16 : 16 + size].rstrip(b"\0").decode()
            events = events[16 + size :]


def _onlooker(lab: LabHandle, host: str) -> subprocess.Popen[str]:
    argv = (*ssh_argv(lab.name, host)[:-1], "-l", "admin", "-o", "BatchMode=yes", host)
    script = f"sudo bash -c {shlex.quote(LOOK)}"
    return subprocess.Popen(
        (*argv, script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def commit_another_version(environment: LabEnvironment) -> str:
    """Commit a good version that no host serves now, and return its number; few of them, as each is built once."""
    served = {environment.served(host)["version"] for host in APP_HOSTS}
    version = next(number for number in ("1.0.0", "2.0.0", "3.0.0") if number not in served)
    environment.version(version)
    return version


def assert_serves(environment: LabEnvironment, version: str, *hosts: str) -> None:
    """Fail unless `hosts` (default: every app host) serve `version`, all told alike, with nothing left behind."""
    status = environment.status()
    for host in hosts or APP_HOSTS:
        row = status[host]
        assert "problem" not in row, row
        assert (row["version"], row["health"]) == (version, "healthy"), row
        told = environment.served(host)
        assert told["version"] == version, told
        # With admission, from root's copy.
        assert told["release"] in (f"{ROOT}/releases/{row['release']}", f"{ROOT}.admitted/{row['release']}"), told
        assert str(told["pid"]) == str(row["pid"])
        left = find_leftovers(environment.lab, host)
        assert not left, f"{host}: {left}"


def find_leftovers(lab: LabHandle, host: str) -> str:
    """Find what a command has left behind on `host`, which should be nothing: empty if so."""
    script = f"""
        cd {ROOT} && find . -maxdepth 2 ! -path ./activation/lock.guard \\
            \\( -name '*.partial' -o -name lock -o -name 'lock.?*' -o -name '*.new' \\)
        systemctl is-active -q hello-activate && echo 'an activation runs'
        running=$(systemctl is-active 'hello@a' 'hello@b' | grep -cx active)
        [ "$running" = 1 ] || echo "$running slots run"
        [ "$(systemctl show -P MainPID hello@$(basename "$(readlink current)"))" != 0 ] || echo 'current does not run'
    """
    done = lab.ssh(host, f"sudo bash -c {shlex.quote(script)}", check=False)
    return done.stdout + done.stderr


def lasting_status(environment: LabEnvironment) -> dict[str, dict[str, object]]:
    """Return `status` of the live releases, without the values that change by themselves."""
    return {host: {key: row[key] for key in row if key != "memory"} for host, row in environment.status().items()}


@contextmanager
def damaged_file(environment: LabEnvironment, host: str, how: str) -> Iterator[None]:
    """A file of the live release there is not as it was meanwhile: damaged, missing, or unreadable (to the app)."""
    found = environment.lab.ssh(host, f"cd $(dirname {ROOT}/current/erts-*/{DAMAGED}) && pwd -P", "deploy")
    place = found.stdout.strip()
    # A copy of its own: other releases have the same file by another name.
    do = {"damaged": "echo damage >>f", "missing": "rm f", "unreadable": "chmod g-r f"}[how]
    take = f"cd {place} && cp -p epmd ~/epmd && cp -p epmd f && {do} && rm epmd && if [ -e f ]; then mv f epmd; fi"
    environment.lab.ssh(host, take, "deploy")
    try:
        yield
    finally:
        # Where the release has not been pruned.
        environment.lab.ssh(host, f"if cd {place}; then cp -p ~/epmd f && mv f epmd; fi; rm ~/epmd", "deploy")
