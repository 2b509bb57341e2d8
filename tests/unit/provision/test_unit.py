"""The settings of an instance, from the inventory: overrides, the VM's settings, access to its nodes."""

from __future__ import annotations

import msgspec
import pytest

from warpbeam.error import Refused
from warpbeam.inventory.firewall import PublicPort
from warpbeam.inventory.schema import Host, Inventory, Vm
from warpbeam.provision.binding import check_bindings, forbidden
from warpbeam.provision.footprint import footprint
from warpbeam.provision.host_state import HostState
from warpbeam.provision.item import File
from warpbeam.provision.unit import overridden, peers, properties, vm_flags

HOSTS = {
    "web1": Host(name="web1", address="192.0.2.10"),
    "web2": Host(name="web2", address="192.0.2.11"),
    "build1": Host(name="build1", roles=("build",)),
}
INVENTORY = Inventory(org="acme", app="hello", hosts=HOSTS)
SERVICE = """\
# Who.
User=hello
# Both of these.
Filter=one
Filter=~two
Errors=EPERM
"""


def files(**changes: object) -> dict[str, File]:
    """Return the files of web1, for an inventory with these changes."""
    made = footprint(msgspec.structs.replace(INVENTORY, **changes), HOSTS["web1"], {}, "C", ())
    return {file.path.rpartition("/")[2]: file for file in made.files}


def test_an_override_takes_the_place_of_every_line_of_its_directive() -> None:
    assert overridden(SERVICE, {}) == SERVICE
    text = overridden(SERVICE, {"Filter": "three", "MemoryMax": "2G"})
    assert "Filter=one" not in text
    assert properties(text) == ["User=hello", "Errors=EPERM", "Filter=three", "MemoryMax=2G"]
    # A comment on two directives stays where an override removes only one of them.
    assert "# Both of these.\nErrors=EPERM" in text
    assert "# Who." not in overridden(SERVICE, {"User": "x"})


def test_an_override_reaches_the_unit_and_one_off_evaluations() -> None:
    found = files(service={"MemoryDenyWriteExecute": "no"})

    assert "\nMemoryDenyWriteExecute=no\n" in found["hello@.service"].content
    assert "MemoryDenyWriteExecute=yes" not in found["hello@.service"].content
    assert "--property='MemoryDenyWriteExecute=no'" in found["warpbeam-helper"].content


def test_only_what_the_inventory_sets_is_said_to_the_vm() -> None:
    assert vm_flags(INVENTORY) == ""
    assert "ERL_FLAGS" not in files()["slot-a.env"].content
    vm = Vm(ports=65536, async_threads=0, kernel_poll=True, fullsweep_after=0)
    assert vm_flags(msgspec.structs.replace(INVENTORY, vm=vm)) == "+Q 65536 +A 0 +K true"
    text = files(vm=vm)["slot-a.env"].content
    assert '\nERL_FLAGS="+Q 65536 +A 0 +K true"\nERL_FULLSWEEP_AFTER=0\n' in text
    assert "ERL_CRASH_DUMP_BYTES=67108864\n" in text


def test_nodes_are_on_loopback_unless_they_have_peers() -> None:
    closed = files()
    assert "RELEASE_NODE=hello-b@127.0.0.1\n" in closed["slot-b.env"].content
    assert "inet_dist_use_interface {127,0,0,1}" in closed["slot-b.env"].content
    # Loading this file removes what an earlier inventory had opened.
    assert "addr" not in closed["nodes.nft"].content
    assert "        tcp dport { 9001, 9002 } drop\n" in closed["nodes.nft"].content
    assert "\ndelete table inet warpbeam_hello_nodes\n" in closed["nodes.nft"].content

    vm = Vm(peers=("web2", "10.0.0.0/8", "192.0.2.11"))
    opened = files(vm=vm)
    assert peers(msgspec.structs.replace(INVENTORY, vm=vm)) == ("192.0.2.11", "10.0.0.0/8")
    assert "RELEASE_NODE=hello-b@192.0.2.10\n" in opened["slot-b.env"].content
    assert "inet_dist_use_interface {192,0,2,10}" in opened["slot-b.env"].content
    assert "tcp dport { 9001, 9002 } ip saddr { 192.0.2.11, 10.0.0.0/8 } accept" in opened["nodes.nft"].content
    # Connections to a peer are allowed both ways: only one of the two environments needs to name the other.
    theirs = "ip daddr { 192.0.2.11, 10.0.0.0/8, 192.0.2.10 }"
    assert f"{theirs} tcp dport {{ 9001, 9002 }} goto callers" in opened["nodes.nft"].content


def test_a_stop_is_given_longer_than_the_app_may_take() -> None:
    deploy = msgspec.structs.replace(INVENTORY.deploy, drain=42.2)
    assert "\nTimeoutStopSec=48\n" in files(deploy=deploy)["hello@.service"].content


MORE = {"HTTPS_PORT": PublicPort(public=443, slots=(4011, 4012))}


def test_an_app_may_listen_only_at_its_own_ports_whatever_the_inventory_adds() -> None:
    for service in ({}, {"SocketBindAllow": "tcp:9568"}):
        text = files(ports=MORE, service=service)["hello@.service"].content
        allowed = [line.partition("=")[2] for line in text.splitlines() if line.startswith("SocketBindAllow=")]
        own = ["tcp:4001", "tcp:4002", "tcp:4011", "tcp:4012", "tcp:9001", "tcp:9002"]
        assert allowed == [*service.values(), *own]
        assert text.count("\nSocketBindDeny=") == 2
    assert "--property='SocketBindAllow=tcp:4001'" in files()["warpbeam-helper"].content


@pytest.mark.parametrize(
    ("service", "refused"),
    [
        ({}, ["tcp:9568", "udp:4001", "udp:5353"]),
        ({"SocketBindAllow": "tcp:9568"}, ["udp:4001", "udp:5353"]),
        ({"SocketBindAllow": "9000-9999"}, ["udp:4001", "udp:5353"]),
        ({"SocketBindAllow": "ipv4:udp:5353"}, ["tcp:9568", "udp:4001"]),
        ({"SocketBindAllow": "udp"}, ["tcp:9568"]),
        ({"SocketBindAllow": "any"}, []),
        ({"SocketBindDeny": ""}, []),
    ],
)
def test_a_port_that_the_unit_does_not_allow_is_found_while_the_app_still_has_it(
    service: dict[str, str], refused: list[str]
) -> None:
    inventory = msgspec.structs.replace(INVENTORY, service=service)
    bound = ("tcp:4001", "tcp:9001", "tcp:9568", "udp:4001", "udp:5353")

    assert forbidden(inventory, bound) == refused
    # Ports that the present unit allows are left out: the inventory may have dropped them on purpose.
    assert forbidden(inventory, bound, ["tcp:9000-9999", "udp:5353"]) == [it for it in refused if it == "udp:4001"]
    facts = {"web1": HostState((), {}, {}, (), "", bound=bound)}
    if refused:
        with pytest.raises(
            Refused, match=f"web1: hello listens at {', '.join(refused)}, which its unit will not allow"
        ):
            check_bindings(inventory, facts)
        # If systemd cannot enforce the rule, nothing would break.
        check_bindings(inventory, {"web1": msgspec.structs.replace(facts["web1"], binds=False)})
    else:
        check_bindings(inventory, facts)


def test_the_guard_knows_every_port_that_clients_are_led_to() -> None:
    text = files(ports=MORE)["guard.nft"].content

    assert "tcp sport != { 4001, 4011, 4002, 4012, 4003 } accept" in text
    assert 'tcp sport { 4001, 4011 } meta skuid "hello" jump slot_a' in text
    assert 'tcp sport { 4002, 4012 } meta skuid "hello" jump slot_b' in text
    assert "tcp sport { 4003 } meta skuid 0 jump page" in text
