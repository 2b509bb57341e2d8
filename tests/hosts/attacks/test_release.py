"""Changes in a release after it was verified: the release is not put live again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.assertions import commit_another_version
from tests.attack import HELPER, HOST, ROOT
from tests.environment import LabEnvironment

RECORD = "/var/lib/warpbeam/hello/releases"
# The digest of a manifest, its links and its kind, as verify.sh and the privileged helper have it.
DIGEST = "(cd .warpbeam && sha256sum manifest links runtime) | sha256sum | cut -d ' ' -f 1"
# Attacks in the directory of a release, with their undo and their message. Files are written in their place:
# releases share files (hard links), so all that have one are changed. (`env` and the others are files of it.)
TAMPERED = {
    "a script": ("cp -p $env $kept.1; echo '# planted' >>$env", "cat $kept.1 >$env", "changed: 'releases/"),
    "code, of the same size": (
        "cp -p $beam $kept.2; printf X | dd of=$beam bs=1 seek=100 conv=notrunc status=none",
        "cat $kept.2 >$beam",
        "changed: 'lib/hello-",
    ),
    "a file more": ("touch lib/planted.beam", "rm lib/planted.beam", "added: 'lib/planted.beam'"),
    "a file more, of a name that is none": (r"touch $'lib/x\n@\e[2J'", r"rm $'lib/x\n@\e[2J'", "added: $'lib/x"),
    "a file less": ("mv $other $kept.3", "mv $kept.3 $other", "gone: 'lib/hello-"),
    "a mode": ("chmod 777 $boot", "chmod 640 $boot", "mode: 'releases/"),
    "a directory's mode": ("chmod o+w lib", "chmod o-w lib", "mode: the directory 'lib' is"),
    "a link more": ("ln -s /tmp lib/planted", "rm lib/planted", "added: 'lib/planted'"),
    "a link for a file": (
        "mv $config $kept.4; ln -s ../../$kept.4 $config",
        "rm $config; mv $kept.4 $config",
        "is no plain file any more",
    ),
    "a pipe for a file": (
        "mv bin/hello $kept.5; mkfifo bin/hello",
        "rm bin/hello; mv $kept.5 bin/hello",
        "changed: 'bin/hello' is no plain file any more",
    ),
}
TO_FIT = {
    "another file": (
        "cp -p .warpbeam/manifest $kept.1; touch lib/planted.beam; chmod 640 lib/planted.beam; "
        'echo "644 $(sha256sum <lib/planted.beam | cut -c -64)  lib/planted.beam" >>.warpbeam/manifest',
        "cat $kept.1 >.warpbeam/manifest; rm lib/planted.beam",
        "its manifest is not that with which it was put live",
    ),
    "a link more": (
        r"ln -s hello bin/planted; printf '%s\n' bin/planted hello >>.warpbeam/links",
        "rm bin/planted; : >.warpbeam/links",
        "its manifest is not that with which it was put live",
    ),
    "a file less, its line moved to the links": (
        "cp -p .warpbeam/manifest $kept.1; cp -p .warpbeam/links $kept.2; f=$(tail -n 1 .warpbeam/manifest); "
        'mv "${f#*  }" $kept.3; (echo "$f"; cat $kept.2) >.warpbeam/links; head -n -1 $kept.1 >.warpbeam/manifest',
        'cat $kept.1 >.warpbeam/manifest; cat $kept.2 >.warpbeam/links; f=$(tail -n 1 $kept.1); mv $kept.3 "${f#*  }"',
        "its manifest is not that with which it was put live",
    ),
    "another name to start by": (
        r"cp -p .warpbeam/runtime $kept.6; printf 'mix\nplanted\n' >.warpbeam/runtime",
        "cat $kept.6 >.warpbeam/runtime; rm $kept.6",
        "its manifest is not that with which it was put live",
    ),
    "a link for its kind": (
        "mv .warpbeam/runtime $kept.6; ln -s ../$kept.6 .warpbeam/runtime",
        "rm .warpbeam/runtime; mv $kept.6 .warpbeam/runtime",
        "the word about its kind is no plain file",
    ),
    "no manifest": ("mv .warpbeam/manifest $kept.1", "mv $kept.1 .warpbeam/manifest", "gone: its manifest"),
}
VARIABLES = """
v=$(echo releases/*/); env=${v}env.sh boot=${v}start.boot config=${v}vm.args
e=$(echo lib/hello-*/ebin); beam=$e/Elixir.Hello.beam other=$e/Elixir.Hello.Application.beam
kept=.warpbeam/kept
"""


def in_release(environment: LabEnvironment, release: str, script: str) -> str:
    """Run a script as the deploy user in that release's directory; return its output."""
    text = f"set -e; cd {ROOT}/releases/{release}; {VARIABLES}{script}"
    return environment.lab.ssh(HOST, f"bash -c {shlex.quote(text)}", "deploy").stdout


@pytest.fixture
def live(environment: LabEnvironment) -> Iterator[str]:
    """The live release of one host, which was put live by this Warpbeam."""
    if environment.status()[HOST]["release"] not in environment.lab.ssh(HOST, f"cat {RECORD}").stdout:
        commit_another_version(environment)
        environment.fab("deploy")
    yield str(environment.status()[HOST]["release"])
    assert environment.status()[HOST]["health"] == "healthy"


def test_a_release_that_was_changed_is_not_put_live_again(environment: LabEnvironment, live: str) -> None:
    before = environment.status()
    in_release(environment, live, "\n".join(do for do, _, _ in TAMPERED.values()))
    try:
        refused = environment.fab("restart", expect=3)
        doctor = environment.fab("doctor", "--json", expect=None)
        after = environment.status()
    finally:
        in_release(environment, live, "\n".join(undo for _, undo, _ in TAMPERED.values()))

    missing = [what for what, (_, _, told) in TAMPERED.items() if told not in refused.stderr]
    assert missing == []
    # Nothing but what was changed.
    assert len([line for line in refused.stderr.splitlines() if line.startswith("  | ")]) == len(TAMPERED)
    assert f"{HOST}: the release {live} is not as it was deployed" in refused.stderr
    assert "nothing was changed on any host" in refused.stderr
    assert {host: row["pid"] for host, row in after.items()} == {host: row["pid"] for host, row in before.items()}
    found = {(row["host"], row["check"]): row for row in json.loads(doctor.stdout)}
    assert not found[HOST, "content"]["ok"]
    assert live in found[HOST, "content"]["found"]
    assert found["web2", "content"]["ok"], found["web2", "content"]
    environment.fab("restart")


@pytest.mark.parametrize("what", TO_FIT)
def test_a_manifest_that_was_changed_too_helps_nobody(environment: LabEnvironment, live: str, what: str) -> None:
    do, undo, told = TO_FIT[what]
    in_release(environment, live, do)
    try:
        refused = environment.fab("restart", expect=3)
    finally:
        in_release(environment, live, undo)

    assert told in refused.stderr


def test_neither_rollback_nor_start_puts_a_changed_release_live(environment: LabEnvironment, live: str) -> None:
    commit_another_version(environment)
    environment.fab("deploy")
    new = environment.status()[HOST]["release"]
    plant, gone = "touch lib/planted.beam", "rm lib/planted.beam"
    in_release(environment, live, plant)
    in_release(environment, new, plant)
    try:
        back = environment.fab("rollback", expect=3)
        environment.fab("stop")
        started = environment.fab("start", expect=3)
        forced = environment.fab("start", "--force")
    finally:
        in_release(environment, live, gone)
        in_release(environment, new, gone)

    assert f"the release {live} is not as it was deployed: added: 'lib/planted.beam'" in back.stderr
    assert f"the release {new} is not as it was deployed: added: 'lib/planted.beam'" in started.stderr
    assert "it is put live as it is (--force)" in forced.stderr
    environment.fab("rollback")
    assert environment.status()[HOST]["release"] == live


def test_a_deploy_by_force_replaces_what_was_changed(environment: LabEnvironment, live: str) -> None:
    in_release(environment, live, "echo '# planted' >>$env")

    refused = environment.fab("restart", expect=3)
    environment.fab("deploy", "--force")
    doctor = json.loads(environment.fab("doctor", "--json", expect=None).stdout)

    assert "`fab stage deploy --force` sends it anew" in refused.stderr
    assert environment.status()[HOST]["release"] != live
    (content,) = [row for row in doctor if (row["host"], row["check"]) == (HOST, "content")]
    assert live in content["found"]
    assert environment.status()[HOST]["release"] not in content["found"]
    environment.fab("restart")
    in_release(environment, live, "sed -i '/^# planted/d' $env")


def test_the_deploy_user_cannot_change_what_root_keeps_of_a_release(environment: LabEnvironment, live: str) -> None:
    kept = environment.lab.ssh(HOST, f"cat {RECORD}").stdout
    (name, digest) = next(line.split() for line in kept.splitlines() if line.startswith(live))
    assert in_release(environment, live, DIGEST).strip() == digest

    written = environment.lab.ssh(HOST, f"echo x >>{RECORD}; mv {RECORD} /tmp; rm -rf {RECORD}", "deploy", check=False)
    asked = environment.lab.ssh(HOST, f"sudo -n {HELPER} activate <<<'{name} {'0' * 64}'", "deploy", check=False)
    odd = environment.lab.ssh(
        HOST, f"sudo -n {HELPER} activate <<<'../../etc/passwd {'0' * 64}'", "deploy", check=False
    )

    assert written.stderr.count("ermission denied") == 3
    assert (asked.returncode, odd.returncode) == (2, 2)
    assert "had another content when it was put live" in asked.stderr
    assert "expected a release and a sha256, or nothing" in odd.stderr
    assert environment.lab.ssh(HOST, f"cat {RECORD}").stdout == kept


def test_a_release_of_an_earlier_warpbeam_is_put_live_again_and_known_from_then(
    environment: LabEnvironment, live: str
) -> None:
    environment.lab.ssh(HOST, f"sudo mv {RECORD} {RECORD}.kept")
    in_release(environment, live, "mv .warpbeam/links $kept.1; mv .warpbeam/runtime $kept.2")
    try:
        environment.fab("restart")
        recorded = environment.lab.ssh(HOST, f"cat {RECORD}").stdout
    finally:
        environment.lab.ssh(HOST, f"sudo mv {RECORD}.kept {RECORD}")
        in_release(environment, live, "mv $kept.1 .warpbeam/links; mv $kept.2 .warpbeam/runtime")

    assert recorded.split()[0] == live


def test_a_release_that_claims_to_be_a_local_artifact_is_compared_with_it(
    environment: LabEnvironment, live: str
) -> None:
    plant = TO_FIT["another file"]
    environment.lab.ssh(HOST, f"sudo mv {RECORD} {RECORD}.kept")
    in_release(environment, live, plant[0])
    try:
        refused = environment.fab("restart", expect=3)
    finally:
        environment.lab.ssh(HOST, f"sudo mv {RECORD}.kept {RECORD}")
        in_release(environment, live, plant[1])

    assert "its manifest is not that of the artifact that this machine built" in refused.stderr


def test_who_asks_for_a_thousand_activations_has_root_forget_no_release(environment: LabEnvironment, live: str) -> None:
    lab = environment.lab
    kept = lab.ssh(HOST, f"cat {RECORD}").stdout
    digest = next(line.split()[1] for line in kept.splitlines() if line.startswith(live))
    # The deploy user needs an activation for each. (Root writes most of them here, which takes less time.)
    asked = "".join(f"20200101T{number:06d}Z {number:064d}\n" for number in range(1005))
    lab.ssh(HOST, f"sudo tee -a {RECORD} >/dev/null", stdin=asked)
    script = f"""
        cd {ROOT}; mv releases/{live} away; mv activation/job job.mine; echo exit 0 >activation/job
        for name in 2020010{{2,3}}T000000Z; do
          mkdir releases/$name; sudo -n {HELPER} activate <<<"$name {"0" * 64}"; rmdir releases/$name
        done
        mv job.mine activation/job; mv away releases/{live}
    """
    lab.ssh(HOST, "bash -s", "deploy", stdin=script)
    do, undo, _ = TO_FIT["another file"]
    in_release(environment, live, do)
    try:
        record = lab.ssh(HOST, f"cat {RECORD}").stdout
        refused = environment.fab("restart", expect=3)
        changed = in_release(environment, live, DIGEST).strip()
        anew = lab.ssh(HOST, f"sudo -n {HELPER} activate <<<'{live} {changed}'", "deploy", check=False)
    finally:
        in_release(environment, live, undo)
        lab.ssh(HOST, f"sudo tee {RECORD} >/dev/null", stdin=kept)

    assert f"{live} {digest}" not in record
    assert len(record.splitlines()) < 50
    assert "root does not keep any more with which content it was put live" in refused.stderr
    assert anew.returncode == 2
    assert "does not say any more which content" in anew.stderr
    # The releases that were not moved away are known as before.
    environment.fab("restart")


def test_names_ahead_of_the_clock_that_are_gone_keep_no_deploy_out(environment: LabEnvironment, live: str) -> None:
    lab = environment.lab
    kept = lab.ssh(HOST, f"cat {RECORD}").stdout
    # The deploy user needs an activation for each, and a directory. (Root writes them here, which takes less time.)
    asked = 'for number in {1..1100}; do date --utc -d "+$1 min +$number sec" +%Y%m%dT%H%M%SZ; done'
    write = f"bash -c {shlex.quote(asked)} - $1 | sed 's/$/ {'0' * 64}/' | sudo tee -a {RECORD} >/dev/null"
    try:
        lab.ssh(HOST, f"set -- 600; {write}")
        environment.fab("deploy", "--force")
        lab.ssh(HOST, f"set -- 10; {write}")
        refused = environment.fab("deploy", "--force", expect=4)
        # The cure that the message names.
        lab.ssh(HOST, f"sudo rm {RECORD}")
        environment.fab("deploy", "--force")
        gone = lab.ssh(HOST, f"sudo -n {HELPER} activate <<<'20200101T000000Z {'0' * 64}'", "deploy", check=False)
    finally:
        lab.ssh(HOST, f"sudo tee -a {RECORD} >/dev/null", stdin=kept)

    assert f"as root, remove {RECORD}" in refused.stderr
    assert (gone.returncode, "there is no release 20200101T000000Z" in gone.stderr) == (2, True)
