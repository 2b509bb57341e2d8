"""When an instance counts as healthy."""

from __future__ import annotations

import re

from tests.stage import Stage


def test_an_app_without_http_is_asked_by_an_expression_on_its_node(stage: Stage) -> None:
    stage.write(health={"rpc": "Hello.version() != nil", "deadline": 20})
    try:
        stage.fab("restart")

        assert {row["health"] for row in stage.status().values()} == {"healthy"}
    finally:
        stage.write()


def test_an_expression_that_is_not_true_is_told_with_its_value(stage: Stage) -> None:
    before = stage.status()["web1"]["release"]
    stage.write(health={"rpc": "{:pool, 0}", "deadline": 3, "timeout": 2})
    try:
        failed = stage.fab("restart", expect=4)

        assert "{:pool, 0} said" in failed.stderr
        assert "expected true" in failed.stderr
        assert "web2 was not touched" in failed.stderr
    finally:
        stage.write()
    stage.fab("restart")
    assert stage.status()["web1"]["release"] == before


def test_path_status_and_interval_are_those_of_the_inventory(stage: Stage) -> None:
    stage.write(health={"path": "/nope", "status": 404, "interval": 0.3, "deadline": 20, "settle": 0})
    try:
        stage.fab("-H", "web1", "restart")
        assert stage.status()["web1"]["health"] == "healthy"

        stage.write(health={"path": "/", "status": 204, "deadline": 8, "timeout": 4})
        assert stage.status()["web1"]["health"] == "200"
        failed = stage.fab("-H", "web1", "restart", expect=4)
    finally:
        stage.write()

    # Whoever waits is told what is waited for.
    said = r"http://127\.0\.0\.1:400[12]/ said 200; expected 204"
    assert re.search(f"web1: not healthy after 5 s, of at most 8: {said}", failed.stderr)
    assert re.search(f"not healthy within 8 s: {said}", failed.stderr)
    assert stage.status()["web1"]["health"] == "healthy"


def test_an_instance_that_dies_is_given_up_at_once(stage: Stage) -> None:
    stage.version("7.0.0", fault="crash-at-boot")
    stage.write(health={"deadline": 300})
    try:
        failed = stage.fab("deploy", expect=4, timeout=120)

        assert "it ended by itself" in failed.stderr
    finally:
        stage.write()
        stage.version("7.0.1")
        stage.fab("deploy")
