"""Links that the deploy user or the app swaps while the helper or setup works as root."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import pytest

from tests.attack import HELPER, HOST, ROOT, assert_unchanged, logged_in, try_attacks
from tests.background import eventually
from tests.environment import LabEnvironment
from tests.lab import LabHandle
from tests.timeouts import LONG
from warpbeam.helper.program import HELPER_VERSION
from warpbeam.lab.client import ssh_argv

RENAMEAT2 = {"x86_64": 316, "aarch64": 276}[platform.machine()]
# renameat2(2) with RENAME_EXCHANGE: at no moment is a path neither. (Root may have put something new in a link's place
# meanwhile.) It ends with its standard input. A mode spoils that of each path, for setup to mend.
SWAP = f"""
use strict;
my ($rest, $mode, %aims) = @ARGV;
my @paths = sort keys %aims;
# Where it was ended in the middle, by an eviction: back to how it was.
for (@paths) {{
  if (-l && -e "$_.swap" && !-l "$_.swap") {{ unlink; rename "$_.swap", $_ }}
  -l "$_.swap" ? unlink("$_.swap") : rename("$_.swap", "$_.swap.$$");
}}
my %before = map {{ $_ => (lstat)[1] }} @paths;
sub swap {{ syscall({RENAMEAT2}, -100, $_[0], -100, "$_[0].swap", 2) }}
symlink $aims{{$_}}, "$_.swap" or die "$_: $!" for @paths;
$| = 1;
print "SWAPPING\n";
my ($input, $count) = ("\\1", 0);
until (select(my $ended = $input, undef, undef, $rest)) {{
  swap($_) for @paths;
  select(undef, undef, undef, 0.002);
  for (@paths) {{ swap($_) if (lstat)[1] != $before{{$_}}; chmod oct $mode, $_ if $mode; $count++ }}
}}
unlink "$_.swap" for @paths;
print "SWAPPED $count\n";
"""
# A release that shows as whom it is run, and tries what it may not.
SPY = """#!/bin/bash
echo "SPY $(id -un) $(sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status)"
: >>/etc/passwd
: >>/srv/bait/authorized_keys
cat /etc/shadow
"""
PLANTED = "20990101T000000Z"
# Which release runs, in which slot, is the deploy user's to say: a `current` that leads nowhere gets another.
INSTANCES = "^hello@[ab] runs| /run/hello-[ab](/cookie|/hello-.*[.]runtime[.]config)?$|redirect to :400[12]$"


@contextmanager
def swapping(lab: LabHandle, user: str, aims: dict[str, str], mode: str = "", rest: float = 0.002) -> Iterator[None]:
    """While this lasts, `user` exchanges each path with a link to its aim, for 2 ms, every `rest` seconds."""
    become = f"sudo setpriv --reuid={user} --regid={user} --init-groups"
    swap = f"{become} perl -e {shlex.quote(SWAP)} {shlex.join((str(rest), mode, *chain(*aims.items())))}"
    # Setup ends it where it takes keys away. A second one, with nothing to do, puts back what it left in the middle.
    command = f"{swap} || {{ echo ENDED; {swap} </dev/null; }}"
    argv = (*ssh_argv(lab.name, HOST)[:-1], "-l", "admin", "-o", "BatchMode=yes", HOST, command)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "SWAPPING\n"
    try:
        yield
    finally:
        said, _ = process.communicate("", timeout=LONG)
    assert "ENDED" in said or int(said.split()[-1]) > 10, said


@pytest.fixture(scope="module")
def bait(environment: LabEnvironment) -> Iterator[str]:
    """A directory of root's with whatever one might be led to change; in the end the host is as setup wants it."""
    where = "/srv/bait"
    make = f"""
        rm -rf {where} /home/deploy/pipe
        mkdir -p {where}/{{releases,slots,activation,bin}} && cd {where} && echo key >authorized_keys
        cp authorized_keys authorized_keys2; cp /bin/true bin/hello; ln -s slots/a current
        mkfifo -m 666 /home/deploy/pipe
    """
    environment.lab.ssh(HOST, "sudo bash -s", stdin=make)
    yield where
    environment.lab.ssh(HOST, f"sudo rm -rf {where} /home/deploy/pipe")
    assert "nothing to change" in environment.fab("-H", HOST, "setup").stderr
    assert environment.status()[HOST]["health"] == "healthy"


def slot(environment: LabEnvironment) -> str:
    """The slot that is live."""
    return environment.lab.ssh(HOST, f"sudo readlink {ROOT}/current").stdout.strip().removeprefix("slots/")


def test_no_link_leads_reconcile_out_of_the_deploy_users_own(environment: LabEnvironment, bait: str) -> None:
    links = {f"{ROOT}/current": "/etc", f"{ROOT}/slots/{slot(environment)}": bait, f"{ROOT}/releases": bait}

    with assert_unchanged(environment.lab, except_for=f" {ROOT}|{INSTANCES}"):
        with swapping(environment.lab, "deploy", links):
            outcomes = try_attacks(
                environment.lab, logged_in("deploy"), [f"sudo -n {HELPER} reconcile; #{turn}" for turn in range(10)]
            )
        environment.lab.ssh(HOST, f"sudo -n {HELPER} reconcile", "deploy")
        # One that is about to stop, and to be started again, answers still.
        jobs = "systemctl list-jobs --no-legend 'hello*'"
        assert eventually(lambda: not environment.lab.ssh(HOST, jobs).stdout.strip())
        assert eventually(lambda: environment.status()[HOST].get("health") == "healthy")

    assert [outcome for outcome in outcomes.values() if "uid=0" in outcome.said] == []


def test_what_eval_and_migrate_run_is_the_app_in_its_sandbox_wherever_links_lead(
    environment: LabEnvironment, bait: str
) -> None:
    plant = f"mkdir -p {PLANTED}/bin && cat >{PLANTED}/bin/hello && chmod 755 {PLANTED}/bin/hello"
    environment.lab.ssh(HOST, f"cd {ROOT}/releases && {plant}", "deploy", stdin=SPY)
    planted = f"{ROOT}/releases/{PLANTED}"
    links = {planted: bait, f"{ROOT}/slots/{slot(environment)}": f"../releases/{PLANTED}"}
    migrate, evaluate = f"{PLANTED}\\n3\\n1+1", "3\\n1+1"
    attacks = [f"printf '{migrate}' | sudo -n {HELPER} migrate; #{turn}" for turn in range(6)]
    attacks += [f"printf '{evaluate}' | sudo -n {HELPER} eval; #{turn}" for turn in range(6)]

    with assert_unchanged(environment.lab, except_for=f" {ROOT}"):
        with swapping(environment.lab, "deploy", links):
            outcomes = try_attacks(environment.lab, logged_in("deploy"), attacks)
        environment.lab.ssh(HOST, f"rm -r {planted}", "deploy")

    said = " ".join(outcome.said for outcome in outcomes.values())
    assert set(re.findall(r"SPY (\w+ \d)", said)) <= {"hello 1"}, said
    assert "root:" not in said


def test_no_link_leads_setup_out_of_the_deploy_users_own(environment: LabEnvironment, bait: str) -> None:
    keys = "/home/deploy/.ssh"
    links = {keys: bait, f"{keys}/authorized_keys": "/home/deploy/pipe"}
    links |= {f"{ROOT}/{name}": f"{bait}/{name}" for name in ("activation", "releases", "slots")}
    # A user whose keys are removed may not log in meanwhile: usermod writes a new /etc/shadow in its place. Each of
    # that user's files becomes a new one, and root keeps a list of the releases that had been there.
    evicted = "/home/deploy(/|$)|/etc$|/etc/shadow-?$|/var/lib/warpbeam/hello(/suspects)?$"
    own = f" ({ROOT}|{evicted}|/etc/acme/hello/.written|/etc/acme/hello$)|{INSTANCES}"

    at_work = 0
    try:
        with assert_unchanged(environment.lab, except_for=own):
            # One that sees a link refuses it, or fails; the others come to work below them. None waits for a pipe.
            for _ in range(20):
                with swapping(environment.lab, "deploy", links, mode="0770", rest=0.05):
                    done = environment.fab("-H", HOST, "setup", expect=None, timeout=100)
                at_work += "web1: directories" in done.stderr
                if at_work == 3:
                    break
    finally:
        environment.fab("-H", HOST, "setup")

    assert at_work


def test_sudo_runs_the_helper_and_nothing_else_that_has_its_name(environment: LabEnvironment) -> None:
    plant = "mkdir -p /tmp/planted && cat >/tmp/planted/warpbeam-helper && chmod 755 /tmp/planted/warpbeam-helper"
    environment.lab.ssh(HOST, plant, "deploy", stdin="#!/bin/bash\nid\n")

    with (
        assert_unchanged(environment.lab),
        swapping(environment.lab, "deploy", {"/tmp/planted/warpbeam-helper": HELPER}),
    ):
        asked = [f"sudo -n /tmp/planted/warpbeam-helper version; #{turn}" for turn in range(20)]
        outcomes = try_attacks(environment.lab, logged_in("deploy"), asked)

    environment.lab.ssh(HOST, "rm -r /tmp/planted", "deploy")
    # It compares what is there with what it may run (sudoers(5)), and runs it by its own name.
    assert {re.sub("Sorry.*", "no", outcome.said) for outcome in outcomes.values()} <= {HELPER_VERSION, "no"}


def test_no_link_of_the_apps_leads_its_unit_out_of_the_apps_own(environment: LabEnvironment, bait: str) -> None:
    where = slot(environment)
    again = f"sudo -n {HELPER} stop <<<{where}; sudo -n {HELPER} start <<<{where}"

    with assert_unchanged(environment.lab, except_for=f"^hello@{where} runs| /run/hello-| /var/lib/hello$"):
        with swapping(environment.lab, "hello", {"/var/lib/hello/crash": bait}):
            outcomes = try_attacks(environment.lab, logged_in("deploy"), [again])
        assert eventually(lambda: environment.status()[HOST]["health"] == "healthy")

    assert outcomes[again].status == 0
