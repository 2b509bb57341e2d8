"""This machine as a Shell."""

from __future__ import annotations

import getpass
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpbeam.error import Lost, Refused
from warpbeam.fleet.fleet import LocalFleet
from warpbeam.host.local import LocalShell, local_shell
from warpbeam.inventory.schema import Host, Inventory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which takes root")


def run(shell: LocalShell, script: str) -> tuple[int, str, str]:
    out: list[bytes] = []
    err: list[bytes] = []
    status = shell.execute("bash -s", [script.encode()], out.append, err.append)
    return status, b"".join(out).decode(), b"".join(err).decode()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_gives_its_output_and_its_exit_status() -> None:
    shell = local_shell()
    assert run(shell, "echo out; echo err >&2; exit 7\n") == (7, "out\n", "err\n")
    assert run(shell, "kill -TERM $$\n")[0] == 143
    assert run(shell, "id -un\n")[1].strip() == getpass.getuser()


def test_it_starts_at_home_like_ssh() -> None:
    assert run(local_shell(), "pwd\n")[1].strip() == os.path.realpath(Path.home())


@needs_root
def test_another_user_has_an_environment_of_their_own() -> None:
    status, out, _ = run(local_shell("nobody"), 'echo "$(id -un) $USER $HOME"\n')
    assert (status, out) == (0, "nobody nobody /nonexistent\n")


def test_a_user_that_is_not_there_is_refused_before_anything_runs() -> None:
    with pytest.raises(Refused, match="no user 'nosuchuser'"):
        run(local_shell("nosuchuser"), "true\n")


def test_fifty_megabytes_pass_through_whole() -> None:
    got = 0

    def on_stdout(piece: bytes) -> None:
        nonlocal got
        got += len(piece)

    blocks = (bytes(1 << 20) for _ in range(50))
    assert local_shell().execute("cat", blocks, on_stdout, on_stdout) == 0
    assert got == 50 << 20


def test_a_command_that_does_not_read_its_input_ends_at_once() -> None:
    rest = iter(range(10_000))
    assert local_shell().execute("bash -c 'exit 5'", (bytes(1 << 20) for _ in rest), print, print) == 5
    assert next(rest) < 5_000


@pytest.mark.parametrize("user", [None, pytest.param("nobody", marks=needs_root)])
def test_an_interrupt_ends_the_whole_process_group(user: str | None) -> None:
    shell = local_shell(user)
    pids: list[int] = []

    def on_stdout(piece: bytes) -> None:
        pids.extend(int(word) for word in piece.split())
        threading.Thread(target=shell.interrupt).start()

    assert shell.execute("bash -s", [b"sleep 600 & echo $$ $!; wait\n"], on_stdout, lambda _: None) == 143
    time.sleep(0.3)
    assert pids
    assert not any(lives(pid) for pid in pids)
    assert run(shell, "echo again\n")[1] == "again\n"


def test_what_ignores_the_interrupt_is_killed_and_its_outcome_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warpbeam.host.local.GRACE", 0.3)
    shell = local_shell()
    with pytest.raises(Lost, match="killed"):
        shell.execute(
            "bash -s",
            [b"trap '' TERM; echo $$; while :; do sleep 1; done\n"],
            lambda _: shell.interrupt(),
            lambda _: None,
        )


def test_an_exception_while_listening_leaves_no_process_behind() -> None:
    pids: list[int] = []

    def on_stdout(piece: bytes) -> None:
        pids.append(int(piece))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local_shell().execute("bash -s", [b"echo $$; exec sleep 600\n"], on_stdout, print)
    assert not lives(pids[0])


def test_a_body_that_breaks_off_goes_on_as_its_own_error(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"part"
        raise ValueError("the disk is gone")

    with pytest.raises(ValueError, match="the disk is gone"):
        local_shell().execute(f"bash -c 'cat && touch {tmp_path}/whole'", body(), print, print)
    assert not (tmp_path / "whole").exists()


def test_a_shell_is_busy_while_something_runs_and_so_its_fleet_waits_for_it() -> None:
    fleet = LocalFleet(Inventory(org="acme", app="shop", hosts={"web1": Host(name="web1")}))
    shell = fleet.shells._shells["localhost", "deploy"] = local_shell()
    assert fleet.waits_for == {}

    thread = threading.Thread(target=run, args=(shell, "sleep 60\n"), daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not fleet.waits_for and time.monotonic() < end:
        time.sleep(0.02)

    assert fleet.waits_for == {"localhost": ""}
    fleet.interrupt()
    thread.join(20)
    assert fleet.waits_for == {}
