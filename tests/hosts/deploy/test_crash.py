"""Hosts that crash, lose their power, or are dead to begin with."""

from __future__ import annotations

from tests.assertions import assert_current_stays_whole, assert_serves, commit_another_version
from tests.background import await_end, eventually, is_serving, running_fab
from tests.environment import LabEnvironment


def test_a_host_that_crashes_right_after_its_activation_boots_into_the_new_release(environment: LabEnvironment) -> None:
    version = commit_another_version(environment)
    with running_fab(environment, "deploy", until="web1: runs") as process:
        environment.lab.crash("web1")
        environment.lab.boot("web1")
        await_end(process, 120)

    assert eventually(lambda: is_serving(environment, "web1", version))
    environment.fab("deploy")
    assert_serves(environment, version)


def test_a_host_that_loses_power_after_a_deploy_boots_into_the_whole_new_release(
    environment: LabEnvironment,
) -> None:
    version = commit_another_version(environment)
    environment.fab("-H", "web2", "deploy")
    environment.lab.power_loss("web2")
    environment.lab.boot("web2")

    with assert_current_stays_whole(environment.lab, "web2"):
        assert eventually(lambda: is_serving(environment, "web2", version))
    environment.fab("deploy")
    assert_serves(environment, version)


def test_a_host_that_crashes_in_mid_activation_boots_into_the_old_release(environment: LabEnvironment) -> None:
    old = environment.served("web2")["version"]
    environment.version("9.9.0", fault="slow-boot")
    with running_fab(environment, "-H", "web2", "deploy", until="web2: health") as process:
        environment.lab.crash("web2")
        status, said = await_end(process, 90)
    environment.lab.boot("web2")

    assert status == 4, said
    assert "web2" in said
    assert eventually(lambda: is_serving(environment, "web2", old))
    commit_another_version(environment)
    environment.fab("deploy")


def test_with_a_dead_host_the_exit_code_says_whether_another_was_changed(environment: LabEnvironment) -> None:
    environment.lab.crash("web2")
    try:
        # Asked of all, told of one.
        asked = environment.fab("lock.status", expect=3)
        changed = environment.fab("maintenance.on", expect=4)
        back = environment.fab("maintenance.off", expect=4)
    finally:
        environment.lab.boot("web2")
    assert "free" in asked.stdout
    assert "did not answer" in asked.stdout or "cannot be reached" in asked.stdout
    assert "; on web1 maintenance is on" in changed.stderr
    assert "; on web1 maintenance is off" in back.stderr
    assert eventually(lambda: environment.status()["web2"].get("health") == "healthy")


def test_a_dead_host_stops_a_deploy_before_anything_is_touched(environment: LabEnvironment) -> None:
    before = environment.served("web1")
    commit_another_version(environment)
    environment.lab.crash("web2")

    try:
        refused = environment.fab("deploy", expect=3)
    finally:
        environment.lab.boot("web2")

    assert "error: web2" in refused.stderr
    assert "nothing was changed on any host" in refused.stderr
    assert environment.served("web1") == before
    assert eventually(lambda: is_serving(environment, "web2", before["version"]))
    environment.fab("deploy")
