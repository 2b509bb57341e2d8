"""One app on one host belongs to one environment; another is refused until it is told to take it over."""

from __future__ import annotations

import json

from tests.stage import ENVIRONMENT, Stage
from tests.witness import lasting


def test_a_second_environment_with_the_same_app_is_refused_before_anything_is_touched(stage: Stage) -> None:
    before = lasting(stage)
    settings = "sudo sh -c 'sha256sum /etc/acme/hello/*.env'"
    written = stage.lab.ssh("web1", settings).stdout
    with stage.another("other", env={"GREETING": "good evening"}, secrets={"TOKEN": {"command": "echo theirs"}}):
        refusals = [
            stage.fab(*words.split(), environment="other", expect=3)
            for words in (
                "setup",
                "setup --check",
                "deploy",
                "plan",
                "restart",
                "rollback",
                "secrets.push",
                "firewall.apply",
            )
        ]
        looked = json.loads(stage.fab("-H", "web1", "doctor", "--json", environment="other", expect=5).stdout)

    (told,) = (row for row in looked if row["check"] == "setup")
    assert told["found"] == f"hello on this host belongs to the environment '{ENVIRONMENT}', not to 'other'"
    assert "setup --take-over" in told["mend"]
    for refused in refusals:
        assert f"belongs to the environment '{ENVIRONMENT}', not to 'other'" in refused.stderr
        assert "setup --take-over" in refused.stderr
    assert lasting(stage) == before
    assert stage.lab.ssh("web1", settings).stdout == written


def test_a_host_that_is_taken_over_refuses_the_environment_that_it_belonged_to(stage: Stage) -> None:
    try:
        with stage.another("other"):
            stage.fab("-H", "web2", "setup", "--take-over", environment="other")
            stage.fab("-H", "web2", "restart", environment="other")
        refused = stage.fab("restart", expect=3)
        assert "web2: hello on this host belongs to the environment 'other', not to 'stage'" in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
    finally:
        stage.fab("-H", "web2", "setup", "--take-over")
    assert "nothing to change" in stage.fab("setup").stderr
    stage.fab("restart")
