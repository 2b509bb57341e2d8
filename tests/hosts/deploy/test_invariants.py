"""Invariants; docs/architecture.md has the sentences, and each has its test here.

Most have closer tests elsewhere, and the fault matrix (test_faults.py) tries the first two at every step of a deploy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta

import pytest

from tests.assertions import APP_HOSTS, ROOT, assert_current_stays_whole, assert_serves, commit_another_version
from tests.background import eventually, is_serving
from tests.environment import PROJECT, LabEnvironment
from warpbeam.deploy.plan import NAME


@pytest.mark.parametrize("strategy", ["restart", "blue-green"])
def test_invariant_1_current_always_leads_to_a_complete_and_verified_release(
    environment: LabEnvironment, strategy: str
) -> None:
    # One release on both hosts to go back to: another file's tests may have left each with its own.
    commit_another_version(environment)
    environment.fab("deploy")
    version = commit_another_version(environment)
    environment.write(deploy={**environment.settings["deploy"], "strategy": strategy})
    try:
        with assert_current_stays_whole(environment.lab):
            environment.fab("deploy")
            environment.fab("rollback")
            environment.fab("deploy", "--force")
    finally:
        environment.write()

    assert_serves(environment, version)


def test_invariant_2_after_a_power_loss_a_host_boots_into_a_whole_release_and_serves(
    environment: LabEnvironment,
) -> None:
    version = commit_another_version(environment)
    environment.fab("deploy")
    environment.lab.power_loss("web1")
    environment.lab.boot("web1")

    assert eventually(lambda: is_serving(environment, "web1", version))
    with assert_current_stays_whole(environment.lab, "web1"):
        row = environment.status()["web1"]
    assert (row["version"], row["health"]) == (version, "healthy")
    environment.fab("restart")
    assert_serves(environment, version)


def test_invariant_3_status_tells_what_runs_and_not_what_a_link_says(environment: LabEnvironment) -> None:
    row = environment.status()["web1"]
    link = f"{ROOT}/slots/{row['slot']}"
    environment.lab.ssh("web1", f"sudo -u deploy ln -sfn ../releases/20200101T000000Z {link}")
    try:
        told = environment.status()["web1"]

        assert told["release"] == row["release"]
        assert told["version"] == environment.served("web1")["version"]
        assert "20200101T000000Z" in told["problem"]
    finally:
        environment.lab.ssh("web1", f"sudo -u deploy ln -sfn ../releases/{row['release']} {link}")


def test_invariant_4_an_activation_outlives_us_and_its_outcome_can_be_read_back(
    environment: LabEnvironment,
) -> None:
    before = environment.status()["web1"]["pid"]
    process = subprocess.Popen(
        environment.argv("-H", "web1", "restart"),
        cwd=PROJECT,
        env={**os.environ, **environment.variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line == "web1: start\n" for line in process.stderr)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert eventually(
        lambda: environment.lab.ssh("web1", f"sudo test -e {ROOT}/activation/result", check=False).returncode == 0
    )
    row = environment.status()["web1"]
    assert row["health"] == "healthy"
    assert row["pid"] != before
    environment.fab("-H", "web1", "lock.release", "--force")


def test_invariant_5_a_failed_deploy_keeps_the_old_release_and_can_be_repeated(
    environment: LabEnvironment,
) -> None:
    served = environment.served("web1")["version"]
    environment.write(health={"deadline": 10, "timeout": 5, "settle": 0})
    try:
        commit = environment.version("9.1.0", fault="unhealthy")
        failed = environment.fab("deploy", "--ref", commit, expect=4)

        assert "said 500; expected 200" in failed.stderr
        assert "hello 9.1.0" in failed.stderr, "the app's own last lines"
        assert "web2 was not touched" in failed.stderr
        assert_serves(environment, served)
    finally:
        environment.write()
    with environment.fault("", *APP_HOSTS):
        environment.fab("deploy", "--ref", commit)
        assert_serves(environment, "9.1.0")
    assert len({row["release"] for row in environment.status().values()}) == 1
    commit_another_version(environment)
    environment.fab("deploy")


def test_invariant_6_pruning_keeps_live_previous_and_used_and_does_not_count_failed(
    environment: LabEnvironment,
) -> None:
    environment.write(deploy={**environment.settings["deploy"], "keep": 3})
    try:
        for _ in range(3):
            environment.fab("-H", "web1", "deploy", "--force")
        first, second, live = (row["release"] for row in reversed(environment.releases("web1")[:3]))
        # Two that failed, just before the live one, and one that somebody has uploaded and not tried yet.
        failed, other = following(second, 1), following(second, 2)
        untried = following(live, 1)
        for name, mark in ((failed, "failed"), (other, "failed"), (untried, "")):
            copy(environment, live, name, mark)
        environment.fab("-H", "web1", "restart")

        assert states(environment) == {first: "healthy", second: "healthy", live: "live", untried: "new"}
        environment.lab.ssh("web1", f"sudo rm -r {ROOT}/releases/{untried}")
        environment.fab("-H", "web1", "rollback", "--to", first)
        # Neither of the two that are kept is the live one; the other slot's may still be draining.
        environment.write(deploy={**environment.settings["deploy"], "keep": 2})
        environment.fab("-H", "web1", "restart")
        assert states(environment) == {first: "live", second: "healthy", live: "withdrawn"}
    finally:
        environment.write()
    environment.fab("deploy", "--force")


def states(environment: LabEnvironment) -> dict[str, str]:
    """The state of each release on web1."""
    return {row["release"]: row["state"] for row in environment.releases("web1")}


def following(release: str, seconds: int) -> str:
    """The name of a release that many seconds later."""
    return (datetime.strptime(release, NAME).replace(tzinfo=UTC) + timedelta(seconds=seconds)).strftime(NAME)


def copy(environment: LabEnvironment, release: str, name: str, mark: str) -> None:
    """The same release on web1 by another name, never live, with that mark or none."""
    marks = f"rm -f {name}/.warpbeam/was_live" + (f" && touch {name}/.warpbeam/{mark}" if mark else "")
    environment.lab.ssh("web1", f"sudo -u deploy sh -c 'cd {ROOT}/releases && cp -a {release} {name} && {marks}'")


def test_invariant_7_nothing_secret_is_in_an_artifact_or_open_to_others(environment: LabEnvironment) -> None:
    cookie = environment.lab.ssh("web1", "sudo sed -n 's/^RELEASE_COOKIE=//p' /etc/acme/hello/cookie.env").stdout.strip(
        ' "\n'
    )
    assert len(cookie) >= 32
    tarballs = list(environment.store.directory.glob("*.tar.gz"))
    assert tarballs
    for tarball in tarballs:
        with tarfile.open(tarball) as opened:
            assert not any(name.endswith("releases/COOKIE") for name in opened.getnames())
    # The newest byte by byte, and what was unpacked of any.
    with tarfile.open(max(tarballs, key=lambda file: file.stat().st_mtime)) as opened:
        files = {member.name: opened.extractfile(member) for member in opened if member.isfile()}
        assert len(files) > 100
        assert not [name for name, file in files.items() if file is not None and cookie.encode() in file.read()]
    unpacked = environment.lab.ssh("web1", "sudo sh -s", stdin=f"grep -rls {cookie} /opt /home; true")
    assert unpacked.stdout == ""
    told = environment.fab("setup", "--echo")
    assert cookie not in told.stdout + told.stderr
    seen = environment.lab.ssh(
        "web1", f"sudo -u nobody grep -rls {cookie} /etc /opt /run /tmp /var/log /usr/lib 2>/dev/null", check=False
    )
    assert seen.stdout == ""
