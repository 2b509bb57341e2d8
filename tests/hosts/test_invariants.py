"""What must hold whatever happens; docs/architecture.md has the sentences, and each has its test here.

Most have closer tests elsewhere, and the fault matrix (test_faults.py) tries the first two at every step of a deploy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tarfile

from tests.stage import PROJECT, Stage
from tests.underway import answers, eventually
from tests.witness import ROOT, another, serve, watching


def test_invariant_1_current_always_leads_to_a_complete_and_verified_release(stage: Stage) -> None:
    version = another(stage)
    with watching(stage.lab):
        stage.fab("deploy")
        stage.fab("rollback")
        stage.fab("deploy", "--force")

    serve(stage, version)


def test_invariant_2_after_a_loss_of_power_a_host_boots_into_a_whole_release_and_serves(stage: Stage) -> None:
    version = another(stage)
    stage.fab("deploy")
    stage.lab.power_loss("web1")
    stage.lab.boot("web1")

    assert eventually(lambda: answers(stage, "web1", version))
    with watching(stage.lab, "web1"):
        row = stage.status()["web1"]
    assert (row["version"], row["health"]) == (version, "healthy")
    stage.fab("restart")
    serve(stage, version)


def test_invariant_3_status_tells_what_runs_and_not_what_a_link_says(stage: Stage) -> None:
    row = stage.status()["web1"]
    link = f"{ROOT}/slots/{row['slot']}"
    stage.lab.ssh("web1", f"sudo -u deploy ln -sfn ../releases/20200101T000000Z {link}")
    try:
        told = stage.status()["web1"]

        assert told["release"] == row["release"]
        assert told["version"] == stage.served("web1")["version"]
        assert "20200101T000000Z" in told["problem"]
    finally:
        stage.lab.ssh("web1", f"sudo -u deploy ln -sfn ../releases/{row['release']} {link}")


def test_invariant_4_an_activation_goes_on_without_us_and_its_outcome_can_be_read_back(stage: Stage) -> None:
    before = stage.status()["web1"]["pid"]
    process = subprocess.Popen(
        stage.argv("-H", "web1", "restart"),
        cwd=PROJECT,
        env={**os.environ, **stage.variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line == "web1: start\n" for line in process.stderr)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert eventually(
        lambda: stage.lab.ssh("web1", f"sudo test -e {ROOT}/activation/result", check=False).returncode == 0
    )
    row = stage.status()["web1"]
    assert row["health"] == "healthy"
    assert row["pid"] != before
    stage.fab("-H", "web1", "lock.release", "--force")


def test_invariant_5_a_failed_deploy_says_so_leaves_the_old_release_and_the_same_command_converges(
    stage: Stage,
) -> None:
    served = stage.served("web1")["version"]
    stage.write(health={"deadline": 3, "timeout": 2, "settle": 0})
    try:
        stage.version("9.1.0", fault="unhealthy")
        failed = stage.fab("deploy", expect=4)

        assert "said 500; expected 200" in failed.stderr
        assert "hello 9.1.0" in failed.stderr, "the app's own last lines"
        assert "web2 was not touched" in failed.stderr
        serve(stage, served)
    finally:
        stage.write()
    version = another(stage)
    stage.fab("deploy")
    serve(stage, version)


def test_invariant_6_pruning_leaves_what_is_live_and_what_was_before_it(stage: Stage) -> None:
    stage.write(deploy={**stage.settings["deploy"], "keep": 2})
    try:
        for _ in range(3):
            stage.fab("-H", "web1", "deploy", "--force")
        have = stage.releases("web1")

        assert [row["state"] for row in have[:2]] == ["live", "healthy"]
        assert len(have) <= 3
        stage.fab("-H", "web1", "rollback")
        assert stage.releases("web1")[1]["state"] == "live"
    finally:
        stage.write()
    stage.fab("deploy", "--force")


def test_invariant_7_nothing_secret_is_in_an_artifact_or_open_to_others(stage: Stage) -> None:
    cookie = stage.lab.ssh("web1", "sudo sed -n 's/^RELEASE_COOKIE=//p' /etc/acme/hello/cookie.env").stdout.strip(
        ' "\n'
    )
    assert len(cookie) >= 32
    tarballs = list(stage.store.directory.glob("*.tar.gz"))
    assert tarballs
    for tarball in tarballs:
        with tarfile.open(tarball) as opened:
            assert not any(name.endswith("releases/COOKIE") for name in opened.getnames())
    # The newest byte by byte, and what was unpacked of any.
    with tarfile.open(max(tarballs, key=lambda file: file.stat().st_mtime)) as opened:
        files = {member.name: opened.extractfile(member) for member in opened if member.isfile()}
        assert len(files) > 100
        assert not [name for name, file in files.items() if file is not None and cookie.encode() in file.read()]
    unpacked = stage.lab.ssh("web1", "sudo sh -s", stdin=f"grep -rls {cookie} /opt /home; true")
    assert unpacked.stdout == ""
    told = stage.fab("setup", "--echo")
    assert cookie not in told.stdout + told.stderr
    seen = stage.lab.ssh(
        "web1", f"sudo -u nobody grep -rls {cookie} /etc /opt /run /tmp /var/log /usr/lib 2>/dev/null", check=False
    )
    assert seen.stdout == ""
