"""Rights on a host: the admin's, the deploy user's, the app user's."""

from __future__ import annotations

import re

from tests.environment import LabEnvironment
from warpbeam.helper.program import SUDO_VERBS

HELPER = "/usr/lib/warpbeam/hello/warpbeam-helper"
ROOT = "/opt/acme/hello"


def call_helper(environment: LabEnvironment, arguments: str, stdin: str = "") -> tuple[int, str]:
    """Run the privileged helper as the deploy user; its exit status and what it said."""
    done = environment.lab.ssh("web1", f"sudo -n {HELPER} {arguments}", user="deploy", check=False, stdin=stdin)
    return done.returncode, done.stdout + done.stderr


def test_the_app_can_read_its_release_and_write_none_of_it(environment: LabEnvironment) -> None:
    writable = environment.lab.ssh(
        "web1", f"sudo runuser -u hello -- find {ROOT}/ -writable ! -type l 2>/dev/null", check=False
    )
    assert writable.stdout == ""
    release = f"{ROOT}/releases/{environment.status()['web1']['release']}"
    # The app may not read Warpbeam's own files there.
    look = f"find {release} -path {release}/.warpbeam -prune -o ! -readable -print"
    unreadable = environment.lab.ssh("web1", f"sudo runuser -u hello -- {look}")
    assert unreadable.stdout == ""
    for link in ("current", "slots/a"):
        done = environment.lab.ssh("web1", f"sudo runuser -u hello -- ln -sfn /tmp {ROOT}/{link}", check=False)
        assert done.returncode != 0
    assert environment.lab.ssh("web1", "sudo runuser -u hello -- ls /etc/acme/hello", check=False).returncode != 0


def test_the_app_runs_without_any_privilege(environment: LabEnvironment) -> None:
    pid = environment.status()["web1"]["pid"]

    status = environment.lab.ssh("web1", f"sudo cat /proc/{pid}/status; ps -o user= -p {pid}").stdout

    assert status.splitlines()[-1] == "hello"
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_the_deploy_user_may_call_the_helpers_verbs_and_do_nothing_else_as_root(
    environment: LabEnvironment,
) -> None:
    listed = environment.lab.ssh("web1", "sudo -n -l", user="deploy").stdout

    allowed = listed[listed.index("may run") :].splitlines()[1:]
    nothing, verbs = " ".join(allowed).split("NOPASSWD: ")[1:]
    assert nothing.startswith("!ALL ")
    assert verbs.split(", ") == [f"{HELPER} {verb}" for verb in SUDO_VERBS]
    for command in (
        "id",
        "bash",
        "-u hello id",
        "systemctl stop hello@a",
        f"{HELPER} status x",
        HELPER,
        f"{HELPER} 'start;id'",
    ):
        done = environment.lab.ssh("web1", f"sudo -n {command}", user="deploy", check=False)
        assert "not allowed" in done.stderr or "command not found" in done.stderr, command
        assert "uid=0" not in done.stdout
    mine = environment.lab.ssh(
        "web1", "find /etc /usr /lib/systemd -xdev -writable ! -type l 2>/dev/null", "deploy", check=False
    )
    assert mine.stdout == ""
    assert environment.lab.ssh("web1", "ls /etc/acme/hello", "deploy", check=False).returncode != 0


# Input for the helper, and its answer.
ODD = [
    ("stop", "", "expected a slot (a or b) on standard input"),
    ("stop", "c\n", "expected a slot (a or b) on standard input"),
    ("start", "a b\n", "expected a slot (a or b) on standard input"),
    ("switch", "../a\n", "expected a slot (a or b) on standard input"),
    ("stop", "a" * 300 + "\n", "found a line of 256 characters or more"),
    ("migrate", "../../etc\n3\n1+1", "expected a release such as"),
    ("migrate", "20200101T000000Z\n3\n1+1", "the release 20200101T000000Z is not on this host"),
    ("eval", "99999999999\n", "expected the size of an expression"),
    ("eval", "$(id)\n", "expected the size of an expression"),
    ("logs", "5\n$(id)\n\n\nno\n", "the time holds a character that no time has"),
    ("logs", "5; id\n\n\n\nno\n", "the count must be a number"),
    ("logs", "5\n\n\nhello@a\nno\n", "the slot must be a or b"),
    ("console", "1\n", "the console needs a terminal"),
]


def test_the_helper_refuses_odd_input(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]["pid"]

    for verb, stdin, complaint in ODD:
        status, said = call_helper(environment, verb, stdin)
        assert (status, complaint in said, "uid=0" in said) == (2, True, False), f"{verb} {stdin!r}: {said}"

    assert environment.status()["web1"]["pid"] == before


def test_the_helper_takes_nothing_from_its_callers_environment(environment: LabEnvironment) -> None:
    trap = "BASH_ENV=/tmp/evil ENV=/tmp/evil PATH=/tmp/evil-bin:$PATH LD_PRELOAD=/tmp/evil.so SHELLOPTS=xtrace"
    environment.lab.ssh("web1", "echo 'id >/tmp/got-in' >/tmp/evil; rm -f /tmp/got-in", user="deploy")

    done = environment.lab.ssh("web1", f"{trap} sudo -n {HELPER} version; ls /tmp/got-in", user="deploy", check=False)

    assert done.stdout.strip().isdigit()
    assert "No such file" in done.stderr
