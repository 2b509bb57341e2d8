"""Releases that lack what others bring: a VM of their own, a node."""

from __future__ import annotations

from pathlib import Path

from tests.environment import LabEnvironment
from tests.timeouts import ANSWER


def changed(environment: LabEnvironment, file: Path, text: str) -> None:
    """Commit `text` as that file of the app."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    environment.commit(f"{file.name} changes")


def test_a_release_without_a_vm_is_refused_where_the_host_has_none(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]
    mix = environment.source / "mix.exs"
    text = mix.read_text()
    changed(environment, mix, text.replace("hello: [", "hello: [include_erts: false, ", 1))
    try:
        failed = environment.fab("deploy", expect=3)
    finally:
        changed(environment, mix, text)

    assert "web1: the release has no Erlang VM of its own (`include_erts: false`), and needs ERTS" in failed.stderr
    assert "on its host, which has none" in failed.stderr
    assert environment.status()["web1"]["pid"] == before["pid"]


def test_an_instance_that_is_no_node_is_named_where_it_is_asked(environment: LabEnvironment) -> None:
    env = environment.source / "rel" / "env.sh.eex"
    changed(environment, env, "export RELEASE_DISTRIBUTION=none\n")
    cause = "RELEASE_DISTRIBUTION=none, in rel/env.sh.eex or the inventory, makes it none"
    try:
        environment.fab("deploy")
        failed = environment.fab("rpc", "1", expect=None)
        assert failed.returncode != 0
        assert cause in failed.stderr
        # The release is the deploy user's: root opens none of its files, and waits for none.
        extra = "/opt/acme/hello/current/releases/0"
        environment.lab.ssh("web1", f"mkdir {extra} && mkfifo {extra}/env.sh", "deploy")
        stuck = environment.fab("rpc", "--host", "web1", "1", expect=None, timeout=ANSWER)
        reading = environment.lab.ssh("web1", "pgrep -u root -x grep", check=False)
        environment.lab.ssh("web1", f"rm -r {extra}", "deploy")
        assert stuck.returncode != 0
        assert reading.stdout == ""
        environment.write(health={"rpc": "true", "timeout": 20})
        assert cause in environment.status()["web1"]["health"]
    finally:
        environment.write()
        env.unlink()
        environment.commit("a node again")
        environment.fab("deploy")
