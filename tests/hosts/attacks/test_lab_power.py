"""Attacks that the lab itself refuses to root: their refusal to others proves nothing about Warpbeam."""

from __future__ import annotations

import platform

import pytest

from tests.attack import HOST
from tests.environment import LabEnvironment
from tests.impossible_attacks import HARMLESS, IMPOSSIBLE, every_attack, reasons, tried_by_root
from tests.lab import LabHandle


def test_root_can_do_what_is_refused_to_others_but_for_what_is_listed(
    environment: LabEnvironment, second_app: None
) -> None:
    attacks = every_attack()

    outcomes = tried_by_root(environment.lab, attacks)

    failed = {attack: outcome.said for attack, outcome in outcomes.items() if outcome.status != 0}
    listed = {attack for attack in attacks if reasons(attack)}
    assert {attack: said for attack, said in failed.items() if attack not in listed} == {}, "not in the list"
    assert listed - set(failed) == set(), "root can do it"


def test_every_entry_of_the_lists_is_of_an_attack_that_there_is() -> None:
    attacks = every_attack()

    assert {pattern for attack in attacks for pattern in reasons(attack)} == set(IMPOSSIBLE)
    assert set(HARMLESS) - set(attacks) == set()


# Calls that a real Debian allows root and systemd-nspawn by itself does not: they need no capability beyond root's own.
CALLS = {
    "mlock": "syscall({mlock}, 0, 0) == 0",
    "pidfd_getfd": "syscall({pidfd_getfd}, -1, 0, 0) == -1 and $!{{EBADF}}",
    "landlock_create_ruleset": "syscall({landlock}, 0, 0, 1) >= 1",
    "memfd_secret": "syscall({memfd_secret}, 0) >= 0 or $!{{ENOSYS}}",
}
NUMBERS = {"mlock": {"x86_64": 149, "aarch64": 228}[platform.machine()]}
# The same on every architecture.
NUMBERS |= {"pidfd_getfd": 438, "landlock": 444, "memfd_secret": 447}


@pytest.mark.parametrize("call", CALLS)
def test_a_lab_host_lets_root_make_a_call_that_a_debian_does(lab: LabHandle, call: str) -> None:
    tried = CALLS[call].format(**NUMBERS)

    done = lab.ssh(HOST, "sudo timeout 20 perl", stdin=f"exit(({tried}) ? 0 : 9)\n", check=False)

    assert (done.returncode, done.stderr) == (0, "")
