"""Attacks on admission by somebody who has the deploy key and no signer's: their code never runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admission import ADMITTED, HELPER, HOST, ROOT, Admission, switched_on
from tests.background import eventually
from tests.environment import LabEnvironment

PLANTED = "20200101T000000Z"


@pytest.fixture(scope="module")
def admission(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    """A host that admits what alice signs, once; its live release is hers."""
    yield from switched_on(environment, tmp_path_factory.mktemp("signers"))


@pytest.fixture
def planted(admission: Admission) -> Iterator[str]:
    """A copy of the live release under a name of the attacker's, which has code of theirs; signed for the original."""
    original = admission.live().rpartition("/")[2]
    admission.as_deploy(f"""
        rm -rf $R/releases/{PLANTED}; cp -a $R/releases/{original} $R/releases/{PLANTED}
        cd $R/releases/{PLANTED}; chmod -R u+w .
        printf '#!/bin/bash\\ntouch /var/lib/hello/mine\\n' >bin/hello; chmod 750 bin/hello""")
    yield PLANTED
    admission.as_deploy(f"rm -rf $R/releases/{PLANTED}; ln -sfn slots/b $R/current", check=False)
    admission.as_root(
        "p=$(readlink $A/a); q=$(readlink $A/b); cd $R/slots; [ -z $p ] || ln -sfn ../releases/$p a; "
        "[ -z $q ] || ln -sfn ../releases/$q b; chown -h deploy:hello a b; "
        "s=a; systemctl is-active -q hello@b && s=b; ln -sfn slots/$s $R/current; chown -h deploy:hello $R/current; "
        "$H reconcile",
        check=False,
    )


def assert_not_run(admission: Admission, before: str) -> None:
    """Fail unless `before` runs, and nothing of the attacker's ran or is in root's tree."""
    assert admission.as_root("ls /var/lib/hello/mine 2>/dev/null", check=False) == ""
    assert PLANTED not in admission.admitted()
    assert admission.live() == before


def test_a_planted_release_is_not_admitted_and_does_not_start_in_any_manner(admission: Admission, planted: str) -> None:
    before = admission.live()

    assert "is not what was signed: it was changed: './bin/hello'" in admission.call("admit", f"{planted}\n").stderr
    admission.as_deploy(f"for s in a b; do ln -sfn ../releases/{planted} $R/slots/$s; done")
    for slot in ("a", "b"):
        admission.call("stop", f"{slot}\n")
        assert "is not admitted" in admission.call("start", f"{slot}\n").stderr
    admission.call("reconcile")
    assert "is not admitted" in admission.call("migrate", f"{planted}\n1\n1").stderr
    # The activation's job is the attacker's own.
    admission.as_deploy(
        f"cd $R/activation; mv job job.was; printf 'sudo -n {HELPER} start <<<a; ln -sfn slots/a {ROOT}/current' >job; "
        "sudo -n $H activate </dev/null; mv -f job.was job",
        check=False,
    )
    admission.lab.crash(HOST)
    admission.lab.boot(HOST)
    assert eventually(lambda: admission.live() == before)

    assert_not_run(admission, before)


# Changes of a copy of the signed release, each with the helper's words about it.
TAMPERED = {
    ": >.warpbeam/signature": "it has no signature",
    "head -c 40000 /dev/zero >.warpbeam/signature": ".warpbeam/signature has more than 16384 bytes",
    "printf 'a\\0b' >.warpbeam/signature": "its signature is no text that ssh-keygen makes",
    "rm .warpbeam/signature; mkfifo .warpbeam/signature": "it has no signature",
    "rm .warpbeam/signature; ln -s /etc/acme/hello/allowed_signers .warpbeam/signature": "it has no signature",
    "rm .warpbeam/runtime": "is not whole",
    "printf '640 %064d  lib/mine\\n' 0 >>.warpbeam/manifest": "is of something else",
    "printf 'lib/x\\n../../../../etc/cron.d\\n' >.warpbeam/links": "is of something else",
    "echo evil >>bin/hello": "it was changed: './bin/hello'",
    "rm bin/hello": "could not be copied",
    "rm bin/hello; ln -s /etc/shadow bin/hello": "differs in",
    "rm bin/hello; mkfifo bin/hello": "holds 'bin/hello', which is no plain file",
    'f=$(tail -n 1 .warpbeam/manifest | cut -c 71-); ln -f bin/hello "$f"': "which is no plain file",
}


def test_what_was_tampered_with_after_the_upload_is_not_admitted(admission: Admission) -> None:
    before = admission.live()
    release = before.rpartition("/")[2]
    script = "".join(
        f"cd $R/releases; rm -rf {PLANTED}; cp -a {release} {PLANTED}; cd {PLANTED}; chmod -R u+w .\n"
        f"{change}\necho =; sudo -n $H admit <<<{PLANTED} 2>&1 || true\n"
        for change in TAMPERED
    )
    said = admission.as_deploy(script).stdout.split("=\n")[1:]

    assert [(why, text) for why, text in zip(TAMPERED.values(), said, strict=True) if why not in text] == []
    assert_not_run(admission, before)
    assert not [name for name in admission.admitted() if name.startswith(".")]


def test_files_that_nobody_signed_are_left_out_of_what_is_admitted(admission: Admission) -> None:
    release = admission.live().rpartition("/")[2]
    admission.as_deploy(f"""
        cd $R/releases; rm -rf {PLANTED}; cp -a {release} {PLANTED}; cd {PLANTED}; chmod -R u+w .
        mkdir lib/elixir-99 $'lib/a\\nb' priv; mkfifo lib/pipe; echo >vm.args
        ln -s /etc/passwd releases/mine; mv lib mine; ln -s mine lib
        chmod 4755 bin/hello""")

    assert admission.call("admit", f"{PLANTED}\n").stdout.split()[-1] == "admitted"
    found = admission.as_root(
        f"""
        cd $A/{PLANTED}; ls -d lib/elixir-99 priv lib/pipe vm.args releases/mine mine 2>/dev/null
        find . ! -user root -o -type f ! -perm 640 ! -perm 750 ! -name signature -o -type d ! -perm 750
        diff -r --exclude=.warpbeam . ../{release}; rm -rf $A/{PLANTED}""",
        check=False,
    )
    assert found == ""


def test_signatures_of_other_keys_apps_contents_and_purposes_are_refused(admission: Admission, planted: str) -> None:
    before = admission.live()
    digest = admission.digest(planted)
    for signer, how, why in (
        (admission.mallory, {}, "by no key of allowed_signers"),
        (admission.alice, {"namespace": "file"}, "is of something else"),
        (admission.alice, {"app": "acme/other"}, "is of something else"),
        (admission.alice, {"digest": "0" * 64}, "is of something else"),
    ):
        admission.sign(planted, signer, **{"digest": digest, **how})
        assert why in admission.call("admit", f"{planted}\n").stderr
    assert_not_run(admission, before)


def test_files_that_change_during_an_admission_never_get_into_roots_tree(admission: Admission, planted: str) -> None:
    """The attacker swaps files and links as fast as they can, and keeps descriptors open for writing."""
    original = admission.live().rpartition("/")[2]
    admission.as_deploy(f"""
        cd $R/releases; rm -rf {planted}; cp -a {original} {planted}; cd {planted}; chmod -R u+w .
        cp bin/hello $R/activation/good; printf '#!/bin/bash\\ntouch /var/lib/hello/mine\\n' >$R/activation/evil
        chmod 750 $R/activation/good $R/activation/evil
        (exec 5<>releases/start_erl.data; end=$((SECONDS + 12))
         while ((SECONDS < end)); do
           cp -a $R/activation/evil x; mv -fT x bin/hello
           cp -a $R/activation/good x; mv -fT x bin/hello
           if ((RANDOM % 9 == 0)); then ln -sfn /etc/passwd y; mv -fT y bin/hello; fi
           if ((SECONDS > end - 4)); then printf 'touch /var/lib/hello/mine' >&5; fi
         done) >/dev/null 2>&1 </dev/null &""")
    ended, left = [], ""
    for _ in range(6):
        ended.append(admission.call("admit", f"{planted}\n"))
        # Compare what was admitted with the signed manifest, and have it admitted anew.
        left += admission.as_root(
            f"""
            cd $A; find . ! -user root -o ! -type l -perm /022; ls -d .new .lists 2>/dev/null
            for r in 2*; do cd $A/$r; cut -d' ' -f2- .warpbeam/manifest | sha256sum --check --quiet 2>/dev/null; done
            rm -rf $A/{planted}""",
            check=False,
        )

    for done in ended:
        assert done.returncode == 0 or "warpbeam-helper: " in done.stderr, done
    assert left == ""
    assert admission.as_root("ls /var/lib/hello/mine 2>/dev/null", check=False) == ""


def test_an_interrupted_admission_and_a_full_disk_leave_nothing_half_made(admission: Admission) -> None:
    release = admission.live().rpartition("/")[2]
    copy = "20200101T000001Z"
    admission.as_deploy(f"cp -a $R/releases/{release} $R/releases/{copy}; sync")

    admission.as_root("fallocate -l $(($(df --output=avail -B1 /opt | tail -1) - 70000000)) /opt/full")
    full = admission.call("admit", f"{copy}\n").stderr
    admission.as_root("rm /opt/full; sync")
    assert "is on a full disk" in full or "could not be copied" in full
    admission.as_root(f"timeout -s KILL 0.35 $H admit <<<{copy}; mkdir -p $A/.new $A/.lists", check=False)
    admission.lab.power_loss(HOST)
    admission.lab.boot(HOST)
    assert copy not in admission.admitted()
    assert eventually(lambda: admission.live() == f"{ADMITTED}/{release}")

    assert admission.call("admit", f"{copy}\n").stdout.split()[-1] == "admitted"
    assert not [name for name in admission.admitted() if name.startswith(".")]
    # Its release goes: the copy goes with the next admission.
    admission.as_deploy(f"rm -rf $R/releases/{copy}")
    assert admission.call("admit", f"{release}\n").stdout.split()[-1] == "known"
    assert copy not in admission.admitted()
