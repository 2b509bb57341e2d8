"""Releases that lack what others bring: a VM of their own, a node."""

from __future__ import annotations

from pathlib import Path

from tests.stage import Stage


def changed(stage: Stage, file: Path, text: str) -> None:
    """Commit `text` as that file of the app."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    stage.commit(f"{file.name} changes")


def test_a_release_without_a_vm_is_refused_where_the_host_has_none(stage: Stage) -> None:
    before = stage.status()["web1"]
    mix = stage.source / "mix.exs"
    text = mix.read_text()
    changed(stage, mix, text.replace("hello: [", "hello: [include_erts: false, ", 1))
    try:
        failed = stage.fab("deploy", expect=3)
    finally:
        changed(stage, mix, text)

    assert "web1: the release has no Erlang VM of its own (`include_erts: false`), and needs ERTS" in failed.stderr
    assert "on its host, which has none" in failed.stderr
    assert stage.status()["web1"]["pid"] == before["pid"]


def test_an_instance_that_is_no_node_is_named_where_it_is_asked(stage: Stage) -> None:
    env = stage.source / "rel" / "env.sh.eex"
    changed(stage, env, "export RELEASE_DISTRIBUTION=none\n")
    cause = "RELEASE_DISTRIBUTION=none, in rel/env.sh.eex or the inventory, makes it none"
    try:
        stage.fab("deploy")
        failed = stage.fab("rpc", "1", expect=None)
        assert failed.returncode != 0
        assert cause in failed.stderr
        stage.write(health={"rpc": "true", "timeout": 20})
        assert cause in stage.status()["web1"]["health"]
    finally:
        stage.write()
        env.unlink()
        stage.commit("a node again")
        stage.fab("deploy")
