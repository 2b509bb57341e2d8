"""`deploy.local`: the same on the machine that runs `fab`, without ssh. The build host is that machine here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.environment import LabEnvironment
from tests.runner import send, send_project

HOST = "build1"
HOME = "/srv/warpbeam"
INVENTORY = {
    "org": "local",
    "app": "hello",
    "source": f"{HOME}/hello",
    "hosts": {"here": {"roles": ["app", "build"]}},
    # The environment builds there as its own.
    "users": {"deploy": "keeper"},
    "health": {"deadline": 20, "settle": 0},
    "deploy": {"migrate": "Hello.Release.migrate()", "drain": 5},
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def fab(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`fab here WORDS…` on the host itself, from a clone of this project there; `user` owns it while it runs."""
    lab = environment.lab
    send_project(lab, HOST, HOME, tmp_path_factory.mktemp("packages"))
    send(lab, HOST, ["."], environment.source, f"{HOME}/hello")
    lab.ssh(HOST, f"sudo tee {HOME}/inventory/here.yml", stdin=json.dumps(INVENTORY))
    script = f'#!/bin/sh\ncd {HOME}\nPYTHONPATH=packages exec python3 -m fabric here "$@"\n'
    lab.ssh(HOST, f"sudo tee {HOME}/fab; sudo chmod 755 {HOME}/fab", stdin=script)

    def run(*words: str, user: str = "root", expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = lab.ssh(HOST, f"sudo chown -R {user}: {HOME}; sudo -u {user} {HOME}/fab {' '.join(words)}", check=False)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    yield run
    remove = (
        "sudo systemctl disable --now hello.service; sudo systemctl stop 'hello@*';"
        " sudo nft delete table inet warpbeam_hello; sudo find /lib/systemd/system -name 'hello*' -delete;"
        f" sudo rm -rf {HOME} /etc/local /opt/local /usr/lib/warpbeam /etc/sudoers.d/warpbeam-hello;"
        " sudo systemctl daemon-reload; sudo userdel hello; sudo userdel --remove keeper; true"
    )
    lab.ssh(HOST, remove)


def served(environment: LabEnvironment) -> str:
    """The version that answers on port 80 there."""
    body = environment.lab.ssh(HOST, "curl -sS --max-time 5 http://127.0.0.1/").stdout
    return str(json.loads(body)["version"])


def bump(environment: LabEnvironment, version: str) -> None:
    """Commit a version in the clone there, as its owner."""
    git = "git -c user.name=Test -c user.email=test@localhost -c safe.directory='*'"
    environment.lab.ssh(
        HOST, f"cd {HOME}/hello && echo {version} | sudo tee VERSION && sudo {git} commit -qam {version}"
    )


def test_a_machine_deploys_onto_itself_and_goes_back(environment: LabEnvironment, fab: Run) -> None:
    nobody = fab("deploy.local", expect=3)
    assert "error:" in nobody.stderr

    assert "localhost: set up, " in fab("setup", "--local").stderr
    assert "nothing to change" in fab("setup", "--local").stderr
    bump(environment, "7.0.0")
    fab("deploy.local")
    assert served(environment) == "7.0.0"
    bump(environment, "7.0.1")
    second = fab("deploy.local")
    assert "localhost: runs " in second.stderr
    assert served(environment) == "7.0.1"
    fab("deploy.local.rollback")
    assert served(environment) == "7.0.0"
    none = fab("deploy.local.rollback", expect=3)
    assert "localhost: there is no release to go back to" in none.stderr
    assert served(environment) == "7.0.0"

    # The deploy user needs no other user; an admin becomes it through sudo. The artifact is kept: nothing is built.
    there = fab("deploy.local", user="keeper")
    assert "built already: hello 7.0.1" in there.stderr
    assert served(environment) == "7.0.1"
    fab("deploy.local.rollback", user="admin")
    assert served(environment) == "7.0.0"
    refused = fab("setup", "--local", user="keeper", expect=2)
    assert "localhost: the admin may not become root" in refused.stderr
