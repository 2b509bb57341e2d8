"""Odd arguments, odd standard input and an odd environment, as no command of ours gives them to the helper."""

from __future__ import annotations

import base64
import re

from tests.attack import HELPER, Outcome, assert_unchanged, bare, journal, logged_in, try_attacks
from tests.environment import LabEnvironment

# Words of bash, as they follow the helper's name.
ARGUMENTS = (
    "",
    "''",
    "' '",
    "'stop start'",
    "stop start",
    "version version",
    "version ''",
    "$'stop\\nstart'",
    "$'stop\\n'",
    "'stop '",
    "' stop'",
    "--help",
    "-x",
    "-c id",
    "--",
    "-- version",
    "--rcfile /tmp/planted version",
    "../helper",
    "version/../stop",
    "STOP",
    "st?p",
    "'*'",
    "'[a-z]*'",
    "vërsion",
    "\uff56ersion",
    "$'version\\u200b'",
    "$'\\xff\\xfe'",
    "$(printf '%10000s' | tr ' ' a)",
    "'$(id)'",
    "'`id`'",
    "';id'",
    "'version;id'",
    "version\\&id",
    "verb_status",
    "_status",
    "die",
)

SLOT_VERBS = ("start", "stop", "abandon", "switch", "drain", "undrain", "well")
ODD_SLOTS = (
    b"",
    b"\n",
    b"\na\n",
    b"c\n",
    b"A\n",
    b" a\n",
    b"a \n",
    b"a\r\n",
    b"a b\n",
    b"ab\n",
    b"../a\n",
    b"a/../b\n",
    b"-a\n",
    b"--all\n",
    b"--file=/etc/shadow\n",
    b"*\n",
    b"[ab]\n",
    b"a;id\n",
    b"$(id)\n",
    b"a\0b\n",
    b"\xff\n",
    b"a\xcc\x81\n",
    "\u0430\n".encode(),
    "\uff41\n".encode(),
    b"a" * 10_000,
    b"a" * 10_000 + b"\n",
    b"a" * 255 + b"\n",
    b"\0" * 10_000,
)
ODD_RELEASES = (
    b"",
    b"../../../etc\n",
    b"20200101T000000Z/..\n",
    b"20200101T000000Z\r\n",
    b" 20200101T000000Z\n",
    b"20200101T000000Z x\n",
    b"--property=User=root\n",
    b"$(id)\n",
    "\uff12\uff10\uff12\uff10\uff10\uff11\uff10\uff11T000000Z\n".encode(),
    b"\xff0200101T000000Z\n",
    b"2" * 10_000,
    # A name as it should be, of nothing that is there.
    b"20200101T000000Z\n3\n1+1",
    b"20200101T000000Z\0\n3\n1+1",
)
ODD_SIZES = (
    b"",
    b"-1\n",
    b"+1\n",
    b"1e3\n",
    b"0x10\n",
    b"1 1\n",
    b"1;id\n",
    b"99999999\n",
    b"1048577\n",
    "٣\n".encode(),
    b"\xff\n",
    b"9" * 10_000,
)
# Count, time, pattern, slot, follow.
ODD_LOGS = (
    b"",
    b"5\n",
    b"--file=/etc/shadow\n\n\n\nno\n",
    b"-1\n\n\n\nno\n",
    b"5\n--file=/etc/shadow\n\n\nno\n",
    b"5\n/etc/shadow\n\n\nno\n",
    b"5\n\xff\n\n\nno\n",
    b"5\n\n\n--unit=ssh\nno\n",
    b"5\n\n\nab\nno\n",
    b"5\n\n" + b"x" * 10_000 + b"\n\nno\n",
)
ODD_MAINTENANCE = (
    b"",
    b"ON\n",
    b"on \n",
    b"on",
    b"on\n",
    b"on\n\0\0\0",
    b"on\nline\nline",
    b"on\n\x1b[2J",
    b"on\n" + b"x" * 10_000,
    b"off;id\n",
)
# Verbs, to the one that takes them from standard input; what an activation has no need of it does not do.
ODD_VERBS = (
    b"\n",
    b"console\n",
    b"activate\n",
    b"serve\n",
    b"logs\n",
    b"rpc\n1 + 1",
    b"maintenance\non\nx",
    b"stop start\n",
    b"stop \n",
    b"STOP\n",
    b"verb_stop\n",
    b"*\n",
    b"$(id)\n",
    b"\xff\n",
    b"a" * 10_000,
)
REFUSED = (
    *(
        (SLOT_VERBS[(number + more) % len(SLOT_VERBS)], said)
        for number, said in enumerate(ODD_SLOTS)
        for more in (0, 3)
    ),
    *(("serve", said) for said in ODD_VERBS),
    *(("migrate", said) for said in ODD_RELEASES),
    *(("eval", said) for said in ODD_SIZES),
    *(("logs", said) for said in ODD_LOGS),
    *(("maintenance", said) for said in ODD_MAINTENANCE),
    ("console", b"1 + 1\n"),
)
# Ends by itself whatever comes, as long as it comes.
ENDLESS = ("yes", "yes ''", "yes -- --file=/etc/shadow", "tr '\\0' a </dev/zero", "cat /dev/urandom")
FED = (*SLOT_VERBS, "migrate", "eval", "maintenance")


def fed(verb: str, said: bytes) -> str:
    """A command that says those very bytes to a verb, and then ends."""
    return f"base64 -d <<<'{base64.b64encode(said).decode()}' | sudo -n {HELPER} {verb}"


def not_refused(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Find the attacks that the helper did not plainly refuse."""
    return {
        attack: outcome
        for attack, outcome in outcomes.items()
        if outcome.status != 2 or not outcome.said.startswith("warpbeam-helper: ") or "uid=" in outcome.said
    }


def test_an_odd_argument_comes_through_neither_sudo_nor_the_helper(environment: LabEnvironment) -> None:
    by_sudo = [f"sudo -n {HELPER} {words}" for words in ARGUMENTS]
    by_root = [f"{HELPER} {words}" for words in ARGUMENTS]

    with assert_unchanged(environment.lab), journal(environment.lab, "-t", "sudo", "-t", "warpbeam-hello") as told:
        asked = try_attacks(environment.lab, logged_in("deploy"), by_sudo)
        # Were sudo's list of verbs to let one through, the helper has its own.
        outcomes = try_attacks(environment.lab, bare("root"), by_root)

    assert {attack: outcome for attack, outcome in asked.items() if "not allowed to execute" not in outcome.said} == {}
    assert {
        attack: outcome for attack, outcome in outcomes.items() if "usage: warpbeam-helper VERB" not in outcome.said
    } == {}
    assert not_refused(outcomes) == {}
    assert len([line for line in told if "deploy : command not allowed" in line]) == len(by_sudo)
    assert len(
        [line for line in told if "the privileged helper refused admin (no verb of this helper)" in line]
    ) == len(by_root)


def test_odd_input_is_refused_by_every_verb_that_takes_some_and_is_in_the_journal(environment: LabEnvironment) -> None:
    attacks = {fed(verb, said): verb for verb, said in REFUSED}
    attacks |= {f"sudo -n {HELPER} {verb} <&-": verb for verb in (*FED, "logs", "console")}
    attacks |= {f"{endless} 2>/dev/null | sudo -n {HELPER} {verb}": verb for endless in ENDLESS for verb in FED[::3]}
    # An expression that never ends is read up to a bound, and nothing of it is evaluated.
    attacks |= {f"{endless} 2>/dev/null | sudo -n {HELPER} rpc": "rpc" for endless in (*ENDLESS, "cat /dev/zero")}
    attacks[f"{{ echo $slot; yes; }} 2>/dev/null | sudo -n {HELPER} well"] = "well"
    attacks[f"sudo -n {HELPER} stop </"] = "stop"
    attacks[f"sudo -n {HELPER} stop 0>/dev/null"] = "stop"

    with assert_unchanged(environment.lab), journal(environment.lab, "-t", "warpbeam-hello") as told:
        outcomes = try_attacks(environment.lab, logged_in("deploy"), [*attacks])

    assert not_refused(outcomes) == {}
    # The journal has the user and the verb, and never the input.
    refused = [
        match[1] for line in told if (match := re.match(r"the privileged helper refused deploy \((\w+)\): ", line))
    ]
    assert sorted(refused) == sorted(attacks.values())
    assert not any(word in line for line in told for word in ("shadow", "aaaa", "$(", "\x1b"))


def test_a_verb_that_serve_refuses_or_cannot_do_leaves_it_serving(environment: LabEnvironment) -> None:
    asked = "stop\nc\nswitch\n../a\nundrain\n$slot\n"

    with assert_unchanged(environment.lab), journal(environment.lab, "-t", "warpbeam-hello") as told:
        (outcome,) = try_attacks(
            environment.lab, logged_in("deploy"), [f'printf %s "{asked}" | sudo -n {HELPER} serve 2>&1 | tr "\\n" ,']
        ).values()

    assert re.fullmatch(
        r"warpbeam-helper: expected a slot \(a or b\)[^,]*,= 2,warpbeam-helper: [^,]*,= 2,= 0,?", outcome.said
    ), outcome.said
    # Each entry names the user and the verb, as sudo would; never the input.
    assert sorted(told) == sorted(
        [
            *(f"the privileged helper was asked by deploy: {verb}" for verb in ("stop", "switch", "undrain")),
            *(
                f"the privileged helper refused deploy ({verb}): expected a slot (a or b) on standard input"
                for verb in ("stop", "switch")
            ),
        ]
    )


def test_what_an_activation_asks_of_root_is_in_the_journal(environment: LabEnvironment) -> None:
    with journal(environment.lab, "-t", "warpbeam-hello") as told:
        environment.fab("-H", "web1", "restart")

    asked = [line.removeprefix("the privileged helper was asked by deploy: ") for line in told]
    assert {"start", "stop", "switch"} <= set(asked) <= {"start", "stop", "switch", "drain", "undrain", "abandon"}, told


def test_what_follows_a_valid_line_is_nothing_to_the_helper(environment: LabEnvironment) -> None:
    # The slot that is not live has no directory, so nothing is there to drain.
    attacks = [
        f"printf '%s\\n' $idle {more} | sudo -n {HELPER} {verb}; ls /run/hello-$slot/drain"
        for verb in ("drain", "undrain")
        for more in ("$slot", "'$(id)'", "--all")
    ]

    with assert_unchanged(environment.lab):
        outcomes = try_attacks(environment.lab, logged_in("deploy"), attacks)

    assert {attack: outcome for attack, outcome in outcomes.items() if "Permission denied" not in outcome.said} == {}


def test_odd_expressions_and_patterns_reach_nothing_but_the_app(environment: LabEnvironment) -> None:
    patterns = (b"--file=/etc/shadow", b"--unit=ssh", b"-", b"(", b"\xff\xfe", b"(a+)+$", "é".encode(), b"\0", b"$(id)")
    expressions = (b"", b"--version", b"-e id", b"\xff\xfe", b"\0", b"1" * 10_000, b":os.cmd(~c(id))")
    looks = [fed("logs", b"50\n\n" + pattern + b"\n\nno\n") for pattern in patterns]
    values = [fed("rpc", expression) for expression in expressions]

    with assert_unchanged(environment.lab):
        outcomes = try_attacks(environment.lab, logged_in("deploy"), [*looks, *values, fed("version", b"x" * 10_000)])

    said = "\n".join(outcome.said for outcome in outcomes.values())
    assert "uid=0" not in said
    assert "uid=" in outcomes[values[-1]].said
    assert not re.search(r"root:|sshd|sudo\[", said)
