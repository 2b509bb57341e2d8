"""Hosts that crash, lose their power, or are dead to begin with."""

from __future__ import annotations

from tests.stage import Stage
from tests.underway import answers, begun, ended, eventually
from tests.witness import another, serve, watching


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


def test_with_a_dead_host_the_exit_code_says_whether_another_was_changed(stage: Stage) -> None:
    stage.lab.crash("web2")
    try:
        # Asked of all, told of one.
        asked = stage.fab("lock.status", expect=3)
        changed = stage.fab("maintenance.on", expect=4)
        back = stage.fab("maintenance.off", expect=4)
    finally:
        stage.lab.boot("web2")
    assert "free" in asked.stdout
    assert "did not answer" in asked.stdout or "cannot be reached" in asked.stdout
    assert "; on web1 maintenance is on" in changed.stderr
    assert "; on web1 maintenance is off" in back.stderr
    assert eventually(lambda: stage.status()["web2"].get("health") == "healthy")


def test_a_dead_host_stops_a_deploy_before_anything_is_touched(stage: Stage) -> None:
    before = stage.served("web1")
    another(stage)
    stage.lab.crash("web2")

    try:
        refused = stage.fab("deploy", expect=3)
    finally:
        stage.lab.boot("web2")

    assert "error: web2" in refused.stderr
    assert "nothing was changed on any host" in refused.stderr
    assert stage.served("web1") == before
    assert eventually(lambda: answers(stage, "web2", before["version"]))
    stage.fab("deploy")
