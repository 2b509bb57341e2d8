"""Ctrl-C in the middle of a deploy, once and more than once."""

from __future__ import annotations

import signal
import subprocess

from tests.hosts.test_failures import activates, begun, ended, eventually, serve
from tests.stage import Stage
from warpbeam.error import INTERRUPTED


def heard(process: subprocess.Popen[str], what: str) -> bool:
    """Whether the process says a line with `what` before its end."""
    assert process.stderr is not None
    return any(what in line for line in iter(process.stderr.readline, ""))


def test_after_ctrl_c_each_host_is_told_and_what_to_do_next(stage: Stage) -> None:
    before = stage.served("web1")
    stage.version("9.9.1", fault="slow-boot")

    with begun(stage, "deploy", until="web1: health") as process:
        process.send_signal(signal.SIGINT)
        status, said = ended(process, 60)

    assert status == INTERRUPTED
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("web1: 2")][-1].endswith("is serving again, healthy")
    assert lines[-3:] == [
        "not touched: web2",
        "next: `fab stage status` shows what runs; the same command again goes on from there",
        "interrupted",
    ]
    serve(stage, str(before["version"]))


def test_a_third_ctrl_c_leaves_at_once_and_the_host_comes_to_its_end_alone(stage: Stage) -> None:
    before = stage.served("web1")
    stage.version("9.9.2", fault="slow-boot")

    with begun(stage, "deploy", until="web1: health") as process:
        # Stopped, so that it cannot undo before it has been pressed often enough.
        stage.lab.ssh("web1", "sudo systemctl kill --signal=STOP hello-activate")
        try:
            process.send_signal(signal.SIGINT)
            assert heard(process, "stopping")
            assert heard(process, "web1: undo")
            process.send_signal(signal.SIGINT)
            assert heard(process, "still ending in order: waiting for web1 (halt)")
            process.send_signal(signal.SIGINT)
            status, said = ended(process, 20)
        finally:
            stage.lab.ssh("web1", "sudo systemctl kill --signal=CONT hello-activate", check=False)

    assert (status, said.splitlines()[-1].startswith("left at once")) == (INTERRUPTED, True)
    assert eventually(lambda: not activates(stage, "web1"), 60)
    # Nobody was left to give it back; its lease would end by itself.
    stage.fab("lock.release", "--force")
    serve(stage, str(before["version"]))
    stage.version("9.9.3")
    stage.fab("deploy")
    serve(stage, "9.9.3")
