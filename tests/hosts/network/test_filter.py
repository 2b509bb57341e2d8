"""The filter: what it lets in, that it cannot lock anybody out, and that it stays when it has been confirmed."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.background import eventually
from tests.environment import LabEnvironment
from tests.hosts.network.test_firewall import HOST, answers, outside
from tests.timeouts import LONG

# Something of the host's own that listens, and that no inventory names.
OTHER_PORT = 12345
# TEST-NET-1 (RFC 5737): nobody comes from there.
NOBODY = "192.0.2.0/24"


@pytest.fixture
def other_port(environment: LabEnvironment) -> Iterator[int]:
    """A port of the host where something else listens, on IPv4 and IPv6."""
    environment.lab.ssh(
        HOST,
        # The kernel takes connections for a process that never asks for them.
        f"sudo systemd-run --quiet --unit=other --socket-property=ListenStream={OTHER_PORT} -- sleep infinity",
    )
    yield OTHER_PORT
    environment.lab.ssh(
        HOST, "sudo systemctl stop other.socket other.service; sudo systemctl reset-failed other.socket || true"
    )


@pytest.fixture
def filtered(environment: LabEnvironment) -> Iterator[Callable[..., Any]]:
    """A function that applies the filter of an inventory with some `firewall`; afterwards there is none."""

    def apply(expect: int = 0, **firewall: Any) -> subprocess.CompletedProcess[str]:
        environment.write(firewall=firewall)
        return environment.fab("-H", HOST, "firewall.apply", expect=expect)

    yield apply
    environment.write()
    environment.fab("-H", HOST, "firewall.apply")
    assert row(environment)["filter"] == "off"


def row(environment: LabEnvironment) -> dict[str, Any]:
    """The first row of `firewall.status` of our host."""
    return dict(json.loads(environment.fab("-H", HOST, "firewall.status", "--json").stdout)[0])


def connects(address: str, port: int) -> bool:
    """Return whether a new connection from here is taken."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def both(environment: LabEnvironment, port: int) -> list[bool]:
    """Return whether a new connection from here is taken, by IPv4 and IPv6."""
    return [connects(address, port) for address in (environment.lab.address(HOST), environment.lab.address6(HOST))]


def pings(address: str) -> bool:
    """Return whether an echo request (RFC 792, RFC 4443) is answered."""
    six = ":" in address
    family, protocol, kind, answer = (
        (socket.AF_INET6, socket.getprotobyname("ipv6-icmp"), 128, 129)
        if six
        else (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0)
    )
    # The checksum of IPv6 is the kernel's business (RFC 3542); that of IPv4: all ones less the words' sum.
    echo = struct.pack("!BBHHH", kind, 0, 0 if six else 0xFFFF - ((kind << 8) + 0x5742 + 1), 0x5742, 1)
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(3)
        raw.sendto(echo, (address, 0))
        try:
            # Others' answers come here too.
            while True:
                got, who = raw.recvfrom(2048)
                message = got if six else got[20:]
                if who[0] == address and message[0] == answer and message[4:8] == echo[4:8]:
                    return True
        except TimeoutError:
            return False


def in_force(environment: LabEnvironment) -> str:
    """The filter as the kernel has it, or nothing."""
    return environment.lab.ssh(HOST, "sudo nft list table inet warpbeam_hello-filter 2>/dev/null || true").stdout


def on_disk(environment: LabEnvironment) -> str:
    """The filter that a boot would load, or nothing."""
    return environment.lab.ssh(HOST, "sudo cat /etc/acme/hello/filter.nft 2>/dev/null || true").stdout


def test_only_ssh_the_app_and_ping_pass_the_filter_in_both_families(
    environment: LabEnvironment, filtered: Callable[..., Any], other_port: int
) -> None:
    assert both(environment, other_port) == [True, True]

    done = filtered(filter=True)

    assert "the filter is in force" in done.stderr
    assert both(environment, other_port) == [False, False]
    assert outside(environment) == [True, True]
    assert both(environment, 22) == [True, True]
    for address in (environment.lab.address(HOST), environment.lab.address6(HOST)):
        assert pings(address)
    # Without neighbour discovery, nobody finds the host again once both sides have forgotten each other.
    environment.lab.ssh(HOST, "sudo ip -6 neigh flush all")
    subprocess.run(
        ["ip", "-6", "neigh", "flush", "to", environment.lab.address6(HOST)], capture_output=True, check=False
    )
    assert outside(environment) == [True, True]
    assert (
        environment.lab.ssh(HOST, f"curl -sS --max-time 5 http://{environment.lab.address('web1')}/health").stdout
        == "ok\n"
    )
    found = row(environment)
    assert (found["filter"], found.get("problem", "")) == ("on", "")

    accepted = filtered(filter=True, accept={f"{other_port}/tcp": ["0.0.0.0/0"]})
    assert "the filter is in force" in accepted.stderr
    assert both(environment, other_port) == [True, False]


def test_a_second_apply_changes_nothing_and_needs_no_trial(
    environment: LabEnvironment, filtered: Callable[..., Any]
) -> None:
    filtered(filter=True)
    number = "sudo nft -a list table inet warpbeam_hello-filter | head -n 1"
    before = environment.lab.ssh(HOST, number).stdout

    filtered(filter=True)

    assert environment.lab.ssh(HOST, number).stdout == before


def test_a_filter_that_cuts_ssh_reverts_by_itself_and_is_not_kept(
    environment: LabEnvironment, filtered: Callable[..., Any]
) -> None:
    filtered(filter=True)
    before, kept = in_force(environment), on_disk(environment)
    environment.write(firewall={"filter": True, "ssh": [NOBODY], "confirm": 10}, ssh=quick(environment))
    fab = subprocess.Popen(
        environment.argv("-H", HOST, "firewall.apply"),
        env=environment.environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )

    assert eventually(lambda: not connects(environment.lab.address(HOST), 22))
    # The app is served all the while.
    assert outside(environment) == [True, True]
    _, said = fab.communicate(timeout=LONG)

    assert fab.returncode == 4, said
    assert f"{HOST}: no new ssh connection came through the new filter, so what was before is in force again" in said
    assert both(environment, 22) == [True, True]
    assert (in_force(environment), on_disk(environment)) == (before, kept)
    assert (
        "what was before is back"
        in environment.lab.ssh(HOST, "sudo journalctl -qu 'hello-filter-revert-*' --no-pager").stdout
    )


def test_a_filter_that_cuts_ssh_reverts_without_the_command_that_applied_it(
    environment: LabEnvironment, filtered: Callable[..., Any]
) -> None:
    environment.write(firewall={"filter": True, "ssh": [NOBODY], "confirm": 10}, ssh=quick(environment))
    fab = subprocess.Popen(
        environment.argv("-H", HOST, "firewall.apply"),
        env=environment.environ,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    assert eventually(lambda: not connects(environment.lab.address(HOST), 22))
    fab.send_signal(signal.SIGKILL)
    fab.wait()

    assert eventually(lambda: connects(environment.lab.address(HOST), 22))
    assert (in_force(environment), on_disk(environment)) == ("", "")


def test_rules_loaded_again_during_the_trial_are_not_taken_for_those_on_trial(
    environment: LabEnvironment, filtered: Callable[..., Any]
) -> None:
    # The confirmation would keep other rules than those that it passed, which may let no one in.
    hook = "/etc/systemd/system/hello-filter-revert-.timer.d"
    environment.lab.ssh(
        HOST,
        f"sudo mkdir -p {hook} && printf '[Timer]\\nOnActiveSec=0\\n' | sudo tee {hook}/soon.conf"
        " && sudo systemctl daemon-reload",
    )
    try:
        done = filtered(expect=4, filter=True)
    finally:
        environment.lab.ssh(HOST, f"sudo rm -r {hook}; sudo systemctl daemon-reload")
    assert "not on trial any more" in done.stderr
    assert on_disk(environment) == ""


def test_a_confirmed_filter_survives_a_reboot_and_a_reload_of_the_systems_rules(
    environment: LabEnvironment, filtered: Callable[..., Any], other_port: int
) -> None:
    filtered(filter=True)
    wait = "for i in $(seq 100); do sudo nft list table inet warpbeam_hello-filter && break; sleep 0.1; done"
    environment.lab.ssh(HOST, "sudo systemctl start nftables")
    for change in ("reload nftables", "restart nftables", "stop nftables", "start nftables"):
        environment.lab.ssh(HOST, f"sudo systemctl {change}")
        if change == "stop nftables":
            assert in_force(environment) == ""
            continue
        environment.lab.ssh(HOST, wait)
        assert both(environment, other_port) == [False, False], change

    environment.lab.crash(HOST)
    environment.lab.boot(HOST)

    assert row(environment)["filter"] == "on"
    early, network = (
        int(environment.lab.ssh(HOST, f"systemctl show -P {what} {unit}").stdout)
        for what, unit in (
            ("ExecMainExitTimestampMonotonic", "hello-filter"),
            ("ExecMainStartTimestampMonotonic", "systemd-networkd"),
        )
    )
    assert 0 < early < network
    environment.fab("-H", HOST, "start")


@pytest.mark.parametrize("family", [4, 6])
def test_the_limit_bites_one_source_and_no_other_and_no_accepting_rule_hides_it(
    environment: LabEnvironment, filtered: Callable[..., Any], family: int
) -> None:
    address = environment.lab.address(HOST) if family == 4 else f"[{environment.lab.address6(HOST)}]"
    accepting = """table inet theirs {
        chain early { type filter hook prerouting priority -300; policy accept; accept; }
        chain late { type filter hook prerouting priority -105; policy accept; ct state new accept; }
        chain input { type filter hook input priority -300; policy accept; tcp dport { 80, 4001, 4002 } accept; }
    }"""
    environment.lab.ssh(HOST, "sudo nft -f -", stdin=accepting)
    try:
        filtered(limit="2/hour", burst=4)
        assert [answers(environment, address) for _ in range(7)] == [True] * 4 + [False] * 3
        # Every other source has its own count; the host itself has none. The lab is one /64, so one source.
        others = {HOST: True, "web1": family == 4}
        for other, may in others.items():
            said = environment.lab.ssh(other, f"curl -gsS --max-time 3 http://{address}/health", check=False).stdout
            assert (other, said.strip() == "ok") == (other, may)
        assert both(environment, 22) == [True, True]

        ours = "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"
        filtered(limit="2/hour", burst=4, exempt=ours)
        assert [answers(environment, address) for _ in range(7)] == [True] * 7
    finally:
        environment.lab.ssh(HOST, "sudo nft delete table inet theirs")


def test_a_deploy_does_not_forget_who_is_over_the_limit(
    environment: LabEnvironment, filtered: Callable[..., Any]
) -> None:
    filtered(limit="2/hour", burst=4)
    assert [answers(environment, environment.lab.address(HOST)) for _ in range(5)] == [True] * 4 + [False]

    environment.fab("-H", HOST, "restart")

    assert not answers(environment, environment.lab.address(HOST))


def quick(environment: LabEnvironment) -> dict[str, Any]:
    """The settings of ssh with a short time for each attempt."""
    return {**environment.settings["ssh"], "connect_timeout": 3}
