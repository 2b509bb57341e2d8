"""Attacks of the deploy user and the app's user, from every place: to be root, to change files that are not theirs."""

from __future__ import annotations

import pytest

from tests.attack import (
    HELPER,
    HIDDEN,
    REFUSAL,
    activation,
    assert_unchanged,
    bare,
    evaluation,
    find_unrefused,
    journal,
    logged_in,
    running_app,
    try_attacks,
)
from tests.attack_commands import OF_DEPLOY, OF_THE_APP, SANDBOXED, others
from tests.environment import LabEnvironment

ATTACKS = {
    "the deploy user, logged in": (logged_in("deploy"), OF_DEPLOY, REFUSAL),
    "the deploy user, as the job of an activation": (activation, OF_DEPLOY, REFUSAL),
    "the app's user, in no sandbox": (bare("hello"), OF_THE_APP, REFUSAL),
    "the running app": (running_app, [*OF_THE_APP, *SANDBOXED], HIDDEN),
    "an evaluation": (evaluation, [*OF_THE_APP, *SANDBOXED], HIDDEN),
    "another app's deploy user": (logged_in("shopkeeper"), others("hello"), REFUSAL),
    "another app's user": (bare("shop"), others("hello"), REFUSAL),
}


@pytest.mark.parametrize("who", ATTACKS)
def test_an_attack_is_refused_and_leaves_the_host_as_it_was(
    environment: LabEnvironment, second_app: None, who: str
) -> None:
    attacker, attacks, no = ATTACKS[who]

    with assert_unchanged(environment.lab):
        outcomes = try_attacks(environment.lab, attacker, attacks)

    assert find_unrefused(outcomes, no) == {}


# Commands that sudo refuses the deploy user, with an entry in the journal.
BY_SUDO = (
    "sudo -n id",
    "sudo -n -u hello id",
    "sudo -n -u shop id",
    "sudo -n -u shopkeeper id",
    "sudo -n -g hello id",
    "sudo -n -i",
    "sudo -n -s",
    "sudo -n -e /etc/passwd",
    "sudoedit -n /etc/acme/hello/secrets.env",
    "sudo -n bash",
    "sudo -n env PATH=/tmp {helper} version",
    "sudo -n systemctl stop hello@a",
    "sudo -n -u#-1 id",
    "sudo -n -U root -l",
    "sudo -n -E {helper} version",
    "sudo -n LD_PRELOAD=/tmp/planted.so {helper} version",
    "sudo -n PATH=/tmp {helper} version",
    "sudo -n -C 5 {helper} version",
    "sudo -n -D /tmp {helper} version",
    "sudo -n -R /tmp {helper} version",
    "sudo -n -T 1 {helper} version",
    "sudo -n -g hello {helper} version",
    "sudo -n -h web2 {helper} version",
    "sudo -n -i {helper} version",
    "sudo -n -s {helper} version",
    "sudo -n -u hello {helper} version",
    "sudo -n bash {helper} version",
    "sudo -n sudo {helper} version",
)


def test_what_sudo_refuses_is_in_the_journal(environment: LabEnvironment, second_app: None) -> None:
    attacks = [attack.replace("{helper}", HELPER) for attack in BY_SUDO]

    with assert_unchanged(environment.lab), journal(environment.lab, "-t", "sudo") as told:
        outcomes = try_attacks(environment.lab, logged_in("deploy"), attacks)

    assert find_unrefused(outcomes, f"{REFUSAL}|unknown user|may only be specified") == {}
    refused = [line for line in told if line.strip().startswith("deploy : ")]
    assert len(refused) == len(attacks), refused
    assert [line for line in refused if line.strip().startswith("deploy : PWD=")] == []


def test_what_the_app_asks_of_sudo_is_in_the_journal(environment: LabEnvironment) -> None:
    attacks = ["sudo -n id", f"sudo -n {HELPER} version", "sudo -n -u deploy id"]

    with assert_unchanged(environment.lab), journal(environment.lab, "-t", "sudo") as told:
        outcomes = try_attacks(environment.lab, bare("hello"), attacks)

    assert find_unrefused(outcomes) == {}
    assert len([line for line in told if "hello : " in line and "PWD=" in line]) == len(attacks), told
