"""Checks what must hold on a host whatever happened to it: the invariants, asked of the host and not of Warpbeam."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from tests.environment import LabEnvironment
from tests.faults.fixture import ROOT, HostFixture
from warpbeam.deploy.lock import LEASE_SECONDS

# A boot of the host and of the app, on a machine that does other things too.
WITHIN = 30.0


class Broken(AssertionError):
    """Something that must hold does not."""


def assert_that(holds: bool, message: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(message)


def assert_soon(ask: Callable[[], None], within: float = WITHIN) -> None:
    """Ask again until it holds; raises the last complaint."""
    until = time.monotonic() + within
    while True:
        try:
            return ask()
        except (Broken, OSError, ValueError) as complaint:
            if time.monotonic() > until:
                raise Broken(f"not within {within:.0f} s: {complaint}") from complaint
            time.sleep(0.3)


def await_activation(fixture: HostFixture) -> None:
    """Wait until no activation runs there: it outlives the command that began it."""

    def ended() -> None:
        state = fixture.sh("systemctl show --property=ActiveState --value hello-activate").strip()
        assert_that(state in ("inactive", "failed"), f"{fixture.host}: the activation is {state}")

    assert_soon(ended, 60)


def assert_serves(fixture: HostFixture, versions: frozenset[str]) -> dict[str, Any]:
    """Invariants 1 and 2: port 80 answers with one of `versions`, whole, and `current` leads to it; what `/` says.

    Raises: Broken.
    """
    with urllib.request.urlopen(f"http://{fixture.address}/", timeout=5) as answer:
        said: dict[str, Any] = json.loads(answer.read())
    assert_that(
        said["version"] in versions, f"{fixture.host} serves {said['version']}; expected one of {sorted(versions)}"
    )
    with urllib.request.urlopen(f"http://{fixture.address}/health", timeout=5) as answer:
        assert_that(answer.status == 200, f"{fixture.host}: /health says {answer.status}")
    looked = fixture.sh(
        f"readlink {ROOT}/current; cd -P {ROOT}/current/ && pwd && ls .warpbeam && "
        "cut -d ' ' -f 2- .warpbeam/manifest | sha256sum --check --quiet --strict 2>&1 | head -n 5; "
        "wc -l <.warpbeam/manifest; find . -path ./.warpbeam -prune -o -type f -print | wc -l",
        check=False,
    ).splitlines()
    assert_that(len(looked) >= 2, f"{fixture.host}: `current` leads nowhere: {looked}")
    assert_that(looked[0] in ("slots/a", "slots/b"), f"{fixture.host}: `current` leads to {looked[0]}")
    assert_that(looked[1].startswith(f"{ROOT}/releases/"), f"{fixture.host}: `current` leads to {looked[1]}")
    assert_that("was_live" in looked, f"{fixture.host}: {looked[1]} is live but not marked so: {looked}")
    damaged = [line for line in looked if "FAILED" in line or "WARNING" in line]
    assert_that(not damaged, f"{fixture.host}: {looked[1]} is damaged: {damaged}")
    assert_that(looked[-1] == looked[-2] != "0", f"{fixture.host}: {looked[-1]} files of {looked[-2]}")
    assert_that(
        said["release"] == looked[1], f"{fixture.host} serves from {said['release']}; `current` leads to {looked[1]}"
    )
    assert_that(
        said["slot"] == looked[0][-1], f"{fixture.host} serves from slot {said['slot']}, `current` is {looked[0]}"
    )
    return said


def assert_status_is_true(environment: LabEnvironment, inventory: str, served: Mapping[str, dict[str, Any]]) -> None:
    """Invariant 3: `status` reports what is running. Raises: Broken."""
    done = environment.fab("-H", ",".join(served), "status", "--json", inventory=inventory, expect=None)
    try:
        rows = json.loads(done.stdout)
    except ValueError as error:
        raise Broken(f"status --json gave no JSON: {done.returncode} {done.stdout} {done.stderr}") from error
    live = {row["host"]: row for row in rows if row.get("live")}
    for host, said in served.items():
        assert_that(host in live, f"status knows nothing live on {host}: {rows}")
        row = live[host]
        assert_that(
            row["version"] == said["version"], f"status: {host} runs {row['version']}; it serves {said['version']}"
        )
        release = str(said["release"]).rpartition("/")[2]
        assert_that(row["release"] == release, f"status: {host} runs {row['release']}; it serves {release}")
        assert_that(row["pid"] == int(said["pid"]), f"status: pid {row['pid']} on {host}; it is {said['pid']}")
        # A fault may have ended it a moment ago, and then it says so.
        ended = row["restarts"] > 0 and row["health"].startswith("it ended by itself")
        assert_that(row["health"] == "healthy" or ended, f"status: {host} is {row['health']}")
        others = [other for other in rows if other["host"] == host and not other.get("live")]
        assert_that(not others, f"more than the live instance runs on {host}: {others}")


def assert_lock_ends(environment: LabEnvironment, inventory: str, hosts: tuple[str, ...], *, may_be_held: bool) -> None:
    """Fail if a lock is stuck: it is free or, where its command could not give it back, ends within LEASE seconds.

    To save time it is then taken away. Raises: Broken.
    """
    done = environment.fab("-H", ",".join(hosts), "lock.status", "--json", inventory=inventory, expect=None)
    assert_that(done.returncode == 0, f"lock.status: {done.stderr}")
    held = {row["host"]: row.get("lock", row.get("problem")) for row in json.loads(done.stdout)}
    for host, lock in held.items():
        if lock == "free":
            continue
        match = re.fullmatch(r"held, (\d+) s left", str(lock))
        assert_that(match is not None, f"{host}: the lock is {lock}")
        assert match is not None
        assert_that(may_be_held, f"{host}: the lock was not given back: {lock}")
        assert_that(int(match[1]) <= LEASE_SECONDS, f"{host}: the lock is {lock}, longer than a lease")
    if set(held.values()) != {"free"}:
        released = environment.fab("-H", ",".join(hosts), "lock.release", "--force", inventory=inventory, expect=None)
        assert_that(released.returncode == 0, f"lock.release --force: {released.stderr}")


def assert_tidy(fixture: HostFixture) -> None:
    """After a deploy that went well nothing half made is left. Raises: Broken."""
    litter = fixture.sh(
        f"cd {ROOT} && find . -maxdepth 2 \\( -name '*.partial' -o -name '*.new' -o -name 'lock.*' ! -name lock.guard "
        f"-o -empty -path './history.jsonl' -o -path './activation/pending' \\)"
    ).split()
    assert_that(not litter, f"{fixture.host}: left behind: {litter}")
    text = fixture.sh(f"cat {ROOT}/history.jsonl")
    jobs: list[str] = []
    for line in text.splitlines():
        try:
            jobs.append(json.loads(line).get("job", ""))
        except ValueError:
            raise Broken(f"{fixture.host}: a line of the history is damaged: {line!r}") from None
    twice = {job for job in jobs if job and jobs.count(job) > 1}
    assert_that(not twice, f"{fixture.host}: more than one line of history of one activation: {twice}")
    others = fixture.sh("systemctl is-active hello@a hello@b; true").split()
    assert_that(sorted(others) == ["active", "inactive"], f"{fixture.host}: instances are {others}")
