"""One app on one host belongs to one environment; another is refused until `--take-over` says otherwise."""

from __future__ import annotations

import json

from tests.assertions import lasting_status
from tests.environment import ENVIRONMENT, LabEnvironment


def test_a_second_environment_with_the_same_app_is_refused_before_any_change(
    environment: LabEnvironment,
) -> None:
    before = lasting_status(environment)
    settings = "sudo sh -c 'sha256sum /etc/acme/hello/*.env'"
    written = environment.lab.ssh("web1", settings).stdout
    with environment.another("other", env={"GREETING": "good evening"}, secrets={"TOKEN": {"command": "echo theirs"}}):
        refusals = [
            environment.fab(*words.split(), inventory="other", expect=3)
            for words in (
                "setup",
                "setup --check",
                "deploy",
                "plan",
                "restart",
                "rollback",
                "secrets.push",
                "firewall.apply",
                "firewall.clear",
                "maintenance.on",
                "maintenance.off",
                "lock.acquire --reason mine",
                "lock.release",
                "lock.release --force",
                "stop",
                "start",
                "hosts.reboot",
                "eval 1+1",
                "rpc 1+1 --all",
            )
        ]
        looked = json.loads(environment.fab("-H", "web1", "doctor", "--json", inventory="other", expect=5).stdout)

        seen = environment.fab("status", inventory="other")

    (told,) = (row for row in looked if row["check"] == "setup")
    assert told["found"] == f"hello on this host belongs to the environment '{ENVIRONMENT}', not to 'other'"
    assert "setup --take-over" in told["mend"]
    for refused in refusals:
        assert f"belongs to the environment '{ENVIRONMENT}', not to 'other'" in refused.stderr
        assert "setup --take-over" in refused.stderr
    assert (
        f"warning: hello belongs to another environment than 'other': to '{ENVIRONMENT}' on web1, web2" in seen.stderr
    )
    assert "warning" not in environment.fab("status").stderr
    assert lasting_status(environment) == before
    assert environment.lab.ssh("web1", settings).stdout == written


def test_a_host_that_is_taken_over_refuses_the_environment_that_it_belonged_to(environment: LabEnvironment) -> None:
    try:
        with environment.another("other"):
            environment.fab("-H", "web2", "setup", "--take-over", inventory="other")
            environment.fab("-H", "web2", "restart", inventory="other")
        refused = environment.fab("restart", expect=3)
        assert "web2: hello on this host belongs to the environment 'other', not to 'stage'" in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
    finally:
        environment.fab("-H", "web2", "setup", "--take-over")
    assert "nothing to change" in environment.fab("setup").stderr
    environment.fab("restart")
