"""The two slots of a host: instances that share nothing, so that the end of one is no event for the other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.background import await_end, running_fab
from tests.environment import LabEnvironment
from tests.hosts.terminal import ask, console

HOST = "web1"
HELPER = "sudo -n /usr/lib/warpbeam/hello/warpbeam-helper"


@pytest.fixture
def both(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment with strategy blue-green, and no second instance left running afterwards."""
    environment.write(deploy={**environment.settings["deploy"], "strategy": "blue-green"})
    # Releases in both slots.
    environment.fab("-H", HOST, "restart")
    yield environment
    environment.write()
    environment.lab.ssh(HOST, f"{HELPER} stop", "deploy", stdin=f"{other(live(environment))}\n")


def live(environment: LabEnvironment) -> str:
    return str(environment.status()[HOST]["slot"])


def other(slot: str) -> str:
    return "b" if slot == "a" else "a"


def start(environment: LabEnvironment, slot: str) -> None:
    environment.lab.ssh(HOST, f"{HELPER} start", "deploy", stdin=f"{slot}\n")
    port = {"a": 4001, "b": 4002}[slot]
    environment.lab.ssh(
        HOST, f"for i in $(seq 150); do curl -fsS -m 2 http://127.0.0.1:{port}/health && exit; sleep 0.2; done; exit 1"
    )


def environ(environment: LabEnvironment, slot: str) -> dict[str, str]:
    """The environment of the instance in a slot, as the kernel has it."""
    text = environment.lab.ssh(
        HOST,
        f"pid=$(systemctl show --property=MainPID --value hello@{slot}); sudo cat /proc/$pid/environ | tr '\\0' '\\n'",
    ).stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_two_instances_have_names_ports_and_directories_of_their_own_and_no_epmd(both: LabEnvironment) -> None:
    start(both, other(live(both)))

    a, b = environ(both, "a"), environ(both, "b")

    assert (a["SLOT"], b["SLOT"]) == ("a", "b")
    for name in ("RELEASE_NODE", "PORT", "RELEASE_TMP", "RUNTIME_DIRECTORY", "ERL_AFLAGS"):
        assert a[name] != b[name], name
    assert both.lab.ssh(HOST, "pgrep -x epmd", check=False).stdout == ""


# From one live slot, then from the other: each is stopped once.
@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_end_of_one_slot_leaves_console_rpc_and_requests_of_the_other_whole(
    both: LabEnvironment, turn: str
) -> None:
    if turn == "second":
        both.fab("-H", HOST, "restart")
    mine = live(both)
    theirs = other(mine)
    pid = both.status()[HOST]["pid"]
    start(both, theirs)
    slow: list[object] = []
    request = threading.Thread(target=lambda: slow.append(both.served(HOST, "/slow?ms=3000")))

    with console(both) as child:
        ask(child, "kept = :rand.uniform(1) * 41; kept + 1", "42")
        request.start()
        both.lab.ssh(HOST, f"{HELPER} stop", "deploy", stdin=f"{theirs}\n")
        ask(child, "kept + 2", "43")
        ask(child, "System.pid()", f'"{pid}"')
    request.join()
    spoken = both.fab("-H", HOST, "rpc", "System.get_env(~s(SLOT))")
    answers = both.lab.ssh(HOST, "for i in $(seq 50); do curl -fsS -m 5 http://127.0.0.1/ || exit 1; done").stdout

    assert both.lab.ssh(HOST, f"systemctl is-active hello@{theirs}", check=False).stdout.strip() == "inactive"
    assert f'"{mine}"' in spoken.stdout
    assert answers.count(f'"slot":"{mine}"') == 50
    assert len(slow) == 1
    assert both.status()[HOST]["pid"] == pid


def test_console_and_rpc_survive_the_end_of_the_instance_that_was_started_first(
    both: LabEnvironment,
) -> None:
    old = live(both)
    both.write(deploy={**both.settings["deploy"], "strategy": "blue-green", "drain": 120})
    with socket.create_connection((both.lab.address(HOST), 80)) as stream:
        # It holds the old one until the console of the new one is open.
        stream.sendall(b"GET /stream?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(4096).startswith(b"HTTP/1.1 200 ")
        with running_fab(both, "-H", HOST, "restart", until=f"{HOST}: drain") as process, console(both) as child:
            ask(child, "kept = :rand.uniform(1) * 41; kept + 1", "42")
            assert both.lab.ssh(HOST, f"systemctl is-active hello@{old}", check=False).stdout == "active\n"
            stream.close()
            status, said = await_end(process)
            assert both.lab.ssh(HOST, f"systemctl is-active hello@{old}", check=False).stdout == "inactive\n"
            ask(child, "kept + 2", "43")
            ask(child, "System.get_env(~s(SLOT))", f'"{other(old)}"')

    assert status == 0, said
    assert f'"{other(old)}"' in both.fab("-H", HOST, "rpc", "System.get_env(~s(SLOT))").stdout
