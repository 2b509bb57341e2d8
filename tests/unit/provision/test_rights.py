"""Excess rights of the deploy user, and ports that setup must not take."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from warpbeam.error import Refused
from warpbeam.helper.program import SUDO_VERBS, helper
from warpbeam.inventory.schema import Host, Inventory, PublicPort
from warpbeam.provision.host_state import HostState, UserState
from warpbeam.provision.lockout import check_lockout, taken_ports
from warpbeam.provision.rights import check_rights, deploys_another, excess, has_password

INVENTORY = Inventory(
    org="acme",
    app="hello",
    file=Path("inventory/production.yml"),
    hosts={"web1": Host(name="web1", roles=("app",)), "build1": Host(name="build1", roles=("build",))},
    ports={"HTTPS_PORT": PublicPort(public=443, slots=(4011, 4012))},
)
HELPER = helper(INVENTORY)
OTHER = "/usr/lib/warpbeam/other/warpbeam-helper"
VERBS = ", ".join(f"{HELPER} {verb}" for verb in SUDO_VERBS)
DEPLOY = UserState("1000", "/home/deploy", "/bin/bash", "deploy", groups=("users",))
GOOD = HostState((), {"deploy": DEPLOY}, {}, (), "", rights=("(ALL : ALL) NOPASSWD: !ALL", f"(root) NOPASSWD: {VERBS}"))


def test_the_verbs_of_the_helper_are_all_that_is_expected() -> None:
    assert [*excess(INVENTORY, GOOD)] == []
    # A right that needs a password is less, so it is accepted.
    assert [*excess(INVENTORY, msgspec.structs.replace(GOOD, rights=(f"(root) {HELPER} status",)))] == []
    assert [*excess(INVENTORY, msgspec.structs.replace(GOOD, users={}, rights=()))] == []
    check_rights(INVENTORY, {"web1": GOOD, "build1": GOOD})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("(ALL : ALL) ALL, !/bin/sh", "may run ALL (ALL : ALL) through sudo"),
        ("(ALL : ALL) ALL", "may run ALL (ALL : ALL) through sudo"),
        (f"(root) NOPASSWD: {HELPER} status, /bin/sh", "may run /bin/sh (root) through sudo"),
        (f"(root) NOPASSWD: {HELPER}", f"may run {HELPER} (root) through sudo"),
        (f"(root) NOPASSWD: {HELPER} *", f"may run {HELPER} * (root) through sudo"),
        (f"(hello) NOPASSWD: {HELPER} status", f"may run {HELPER} (hello) through sudo"),
        (f"(root) NOPASSWD: SETENV: {HELPER} status", f"may run {HELPER} (root SETENV) through sudo"),
        (
            f"(root) NOPASSWD: {OTHER} status, {OTHER} stop",
            f"may run {OTHER} (root) through sudo",
        ),
        ("what no sudo says", "may run what no sudo says through sudo"),
    ],
)
def test_whatever_else_sudo_lets_it_do_is_reported(entry: str, said: str) -> None:
    assert [*excess(INVENTORY, msgspec.structs.replace(GOOD, rights=(*GOOD.rights, entry)))] == [said]


def test_groups_other_apps_and_a_password_are_reported() -> None:
    users = {"deploy": msgspec.structs.replace(DEPLOY, groups=("users", "docker"), password=True)}
    found = msgspec.structs.replace(GOOD, users=users, shared=("/opt/acme/other",))

    with pytest.raises(Refused) as refused:
        check_rights(INVENTORY, {"web1": GOOD, "build1": found})
    said = "build1: the user deploy is in the group docker and owns /opt/acme/other, the directory of another app"
    assert said in refused.value.message
    assert "set `users.deploy` in inventory/production.yml to another name" in refused.value.hint
    assert has_password(INVENTORY, found)
    assert not has_password(INVENTORY, GOOD)


def test_several_excess_rights_are_one_sentence_and_the_hint_says_which_key_to_set() -> None:
    rights = (*GOOD.rights, f"(root) NOPASSWD: {OTHER} status, {OTHER} stop")
    users = {"deploy": msgspec.structs.replace(DEPLOY, groups=("docker",))}
    both = msgspec.structs.replace(GOOD, users=users, rights=rights, shared=("/opt/acme/other",))
    with pytest.raises(Refused) as refused:
        check_rights(INVENTORY, {"web1": both})
    assert refused.value.message.startswith(
        f"web1: the user deploy is in the group docker, may run {OTHER} (root) through sudo "
        "and owns /opt/acme/other, the directory of another app"
    )
    # A helper alone is enough; a group that is too strong is another matter.
    assert deploys_another(INVENTORY, msgspec.structs.replace(GOOD, rights=rights))
    assert not deploys_another(INVENTORY, msgspec.structs.replace(GOOD, users=users))


@pytest.mark.parametrize("port", [80, 443, 4001, 4012, 4003, 9002])
def test_no_port_of_the_apps_may_be_the_one_that_ssh_comes_to(port: int) -> None:
    found = msgspec.structs.replace(GOOD, ssh=port)

    assert port in taken_ports(INVENTORY)
    with pytest.raises(Refused, match=f"web1: ssh comes to port {port} of this host"):
        check_lockout(INVENTORY, {"web1": found})
    # A host that does not run the app has no tables of the app.
    check_lockout(INVENTORY, {"build1": found})
    check_lockout(INVENTORY, {"web1": msgspec.structs.replace(GOOD, ssh=22)})
