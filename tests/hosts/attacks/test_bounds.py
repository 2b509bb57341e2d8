"""Attacks without an end: hosts, apps and users that send too much, send nothing, or stop a program of root's."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from tests.attack import HELPER, HOST, ROOT
from tests.background import eventually
from tests.environment import PROJECT, LabEnvironment
from tests.lab import LabHandle
from tests.timeouts import LONG
from tests.unit_drop_in import drop_in
from warpbeam.lab.client import ssh_argv

# Seconds that a host may take to answer, in these tests.
ANSWER_TIMEOUT = 6
# Memory of the whole `fab`, for any answer of hosts.
MOST_MEMORY = 200
# Bounds of an attack in bytes and seconds: a `fab` without bounds must not take this machine.
SENT = 300
LASTS = 60

# Each is put before all else in the .bashrc of the deploy user, which sshd's bash reads before the script.
HOSTILE = {
    "endless complaints": f"head -c {SENT}M /dev/zero | tr '\\0' x >&2",
    "endless complaints, in lines": f"yes 'no such thing' | head -c {SENT}M >&2",
    "a record without an end": f"printf '\\036'; head -c {SENT}M /dev/zero | tr '\\0' x",
    "endless chatter": f"yes 'what a chatty host' | head -c {SENT}M",
    "endless notes": f'yes "$(printf \'\\036{{"note":"look at me"}}\')" | head -c {SENT}M',
    "an answer of many empty things": (
        f"printf '\\036{{\"answer\":['; yes '[],' | head -c {SENT // 2}M | tr -d '\\n'; printf '[]]}}\\n'"
    ),
    "silence": f"sleep {LASTS}",
    "silence that cannot be ended": f"trap '' TERM HUP INT; for i in {{1..{LASTS}}}; do sleep 1; done",
    "a drip": f'for i in {{1..{LASTS}}}; do printf \'\\036{{"note":"%s"}}\\n\' $i; sleep 1; done',
    "a drip of a record": f"printf '\\036'; for i in {{1..{LASTS}}}; do printf x; sleep 1; done",
    "processes that keep its output": f"sleep {LASTS} & exit 0",
}
SILENT_FOR_LONG = "trap '' TERM HUP INT; for i in {1..300}; do sleep 1; done"
# Commands that only look: their words, and their output about the other host.
LOOKS = {
    "status": ("status", "web1"),
    "releases": ("releases", "web1"),
    "lock.status": ("lock.status", "web1"),
    "history": ("history", "web1"),
}


@pytest.fixture
def short_of_patience(environment: LabEnvironment) -> Iterator[None]:
    """Hosts must answer soon."""
    environment.write(ssh={**environment.settings["ssh"], "answer_timeout": ANSWER_TIMEOUT})
    yield
    environment.write()


@contextmanager
def hostile(lab: LabHandle, host: str, text: str) -> Iterator[None]:
    """Send that first to each login as the deploy user of `host`, while this lasts."""
    plant = "sudo bash -c 'cd /home/deploy && cp -p .bashrc .bashrc.kept && cat - .bashrc.kept >.bashrc'"
    lab.ssh(host, plant, stdin=f"{text}\n")
    try:
        yield
    finally:
        lab.ssh(host, "sudo bash -c 'cd /home/deploy && mv -f .bashrc.kept .bashrc; pkill -KILL -u deploy; true'")


class Measured(msgspec.Struct):
    """The end of a `fab`: its exit code, its output, its seconds, and its memory in MB."""

    code: int
    out: str
    err: str
    seconds: float
    memory: float


def most_memory(process: int) -> float:
    """Return the most memory that `process` has had so far, in MB; 0 if it has ended.

    Not wait4's ru_maxrss: that one outlives exec, and begins with all that the process held which forked it
    (getrusage(2), "ru_maxrss"; exec_mmap in Linux's fs/exec.c).
    """
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def measured(environment: LabEnvironment, *words: str, timeout: float = 120) -> Measured:
    """Run `fab`, with its memory bounded from outside, and measure it."""
    began = time.monotonic()
    with Path(environment.directory, "out").open("w+b") as out, Path(environment.directory, "err").open("w+b") as err:
        process = subprocess.Popen(
            ["prlimit", "--as=3000000000", *environment.argv(*words)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=PROJECT, env=environment.environ,
        )  # fmt: skip
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, most_memory(process.pid))
            if time.monotonic() > began + timeout:
                process.kill()
            time.sleep(0.05)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(1 << 24).decode("utf-8", "replace"))
    print(f"{words}: {process.returncode} {texts[0][-2000:]} {texts[1][-2000:]}")
    return Measured(process.returncode, texts[0], texts[1], time.monotonic() - began, memory)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_host_that_never_ends_is_its_own_problem(
    environment: LabEnvironment, short_of_patience: None, what: str
) -> None:
    with hostile(environment.lab, "web2", HOSTILE[what]):
        seen = measured(environment, "status", "--json")

    assert seen.memory < MOST_MEMORY
    assert seen.seconds < 60
    rows = {row["host"]: row for row in json.loads(seen.out)}
    assert rows["web1"]["health"] == "healthy"
    assert rows["web2"]["problem"]
    assert seen.code in (3, 4)
    assert "Traceback" not in seen.err


@pytest.mark.parametrize("what", LOOKS)
def test_a_silent_host_does_not_keep_the_others_answers(
    environment: LabEnvironment, short_of_patience: None, what: str
) -> None:
    words, other = LOOKS[what]
    with hostile(environment.lab, "web2", HOSTILE["silence that cannot be ended"]):
        seen = measured(environment, words)

    assert seen.seconds < 45
    assert other in seen.out
    # `status` gives the app itself its time, too.
    assert re.search(r"did not answer within (6|11) s", seen.out + seen.err)
    assert "Traceback" not in seen.err


def test_a_silent_host_does_not_keep_a_freeze_or_a_deploy(environment: LabEnvironment, short_of_patience: None) -> None:
    environment.fab("lock.acquire", "--reason", "a silent host")
    with hostile(environment.lab, "web2", SILENT_FOR_LONG):
        thawed = measured(environment, "lock.release", timeout=200)
        frozen = measured(environment, "lock.acquire", "--reason", "a silent host", timeout=300)
    free = {row["host"]: row["lock"] for row in json.loads(environment.fab("lock.status", "--json").stdout)}
    environment.fab("lock.release")
    with hostile(environment.lab, "web2", SILENT_FOR_LONG):
        deployed = measured(environment, "restart", timeout=400)

    # Beyond `answer_timeout`: 30 s for a lock, 120 s for a claim.
    assert "web2: freeze did not answer within 36 s" in thawed.err
    assert "web1: released" in thawed.err
    assert (thawed.code, thawed.seconds < 80) == (4, True)
    assert "web2: freeze did not answer within 36 s" in frozen.err
    assert "web2 may be frozen all the same" in frozen.err
    assert (frozen.code, frozen.seconds < 150) == (4, True)
    assert free["web1"] == "free"
    assert "web2: claim did not answer within 126 s" in deployed.err
    assert (deployed.code, deployed.seconds < 240) == (3, True)
    assert json.loads(environment.fab("lock.status", "--json").stdout)[0]["lock"] == "free"


def test_a_silent_host_does_not_keep_doctor(environment: LabEnvironment, short_of_patience: None) -> None:
    with hostile(environment.lab, "web2", HOSTILE["silence that cannot be ended"]):
        seen = measured(environment, "doctor")

    assert seen.seconds < 90
    assert f"greet did not answer within {ANSWER_TIMEOUT} s" in seen.out + seen.err


def test_a_silent_host_does_not_keep_the_journals_of_the_others(
    environment: LabEnvironment, short_of_patience: None
) -> None:
    with hostile(environment.lab, "web2", HOSTILE["silence that cannot be ended"]):
        seen = measured(environment, "logs", "--lines=3")

    assert seen.seconds < 60
    assert "web1 |" in seen.out
    assert seen.code == 3


def test_a_node_that_hangs_does_not_keep_the_others_answers(environment: LabEnvironment) -> None:
    expression = 'if String.ends_with?(to_string(:net_adm.localhost()), "web1"), do: :timer.sleep(240_000), else: 42'
    argv = environment.argv("rpc", "--all", expression)
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT, env=environment.environ
    )
    assert process.stdout is not None
    try:
        began = time.monotonic()
        line = process.stdout.readline().decode()
    finally:
        process.terminate()
        process.communicate(timeout=LONG)

    assert line == "web2 | 42\n"
    assert time.monotonic() - began < 200


# A program of this name takes the place of the one that hands the artifact over, in bash's own words.
GROWING = f"""
if [[ $- != *i* ]]; then
  mkdir -p /tmp/growing && printf '%s\\n' '#!/bin/bash' '/bin/cat "$@"' \
    'if [[ $* == *.tar.gz* ]]; then head -c {SENT}M /dev/zero; fi' >/tmp/growing/cat
  chmod 755 /tmp/growing/cat
  PATH=/tmp/growing:$PATH
fi
"""


def test_an_artifact_is_no_longer_than_it_was_announced(environment: LabEnvironment) -> None:
    environment.version("0.9.7")
    environment.fab("build-on-host")
    before = {file.name: file.stat().st_size for file in environment.store.directory.iterdir()}
    environment.version("0.9.8")

    with hostile(environment.lab, "build1", GROWING):
        seen = measured(environment, "build-on-host", timeout=250)

    assert seen.code == 4
    assert "announced to be no longer" in seen.err
    assert seen.memory < MOST_MEMORY
    assert {file.name: file.stat().st_size for file in environment.store.directory.iterdir()} == before


# An app that says its environment is a terabyte long (prctl(2), PR_SET_MM_MAP, which takes no capability), and whose
# answer to a health check has no end.
STRETCHED = """
use strict; use IO::Socket::INET;
open my $file, '<', '/proc/self/stat' or die; my $stat = <$file>;
my @stat = split ' ', $stat =~ s/^.*\\) //sr; unshift @stat, 0, 0, 0;
my $long = syscall 9, 0, 1 << 40, 1, 0x4022, -1, 0;
my @map = (@stat[26, 27, 45, 46, 47, 47, 28, 48, 49], $long, $long + (1 << 40), 0, 0, 0xffffffff);
my $map = pack 'Q12LL', @map;
syscall(157, 35, 14, $map, length $map, 0) == 0 or print "cannot stretch: $!\n";
my $server = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 50, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {
  next if fork; $SIG{PIPE} = 'DEFAULT'; print $client "HTTP/1.1 2"; print $client '0' x 4096 for 1 .. 100_000; exit;
}
"""


@pytest.fixture
def stretched(environment: LabEnvironment) -> Iterator[None]:
    """Replace the app on one host by another program."""
    lab = environment.lab
    lab.ssh(HOST, f"sudo tee {ROOT}/stretched.pl >/dev/null", stdin=STRETCHED)
    slot = lab.ssh(HOST, f"sudo readlink {ROOT}/current").stdout.strip()[-1]
    with drop_in(lab, HOST, f"ExecStart=\nExecStart=/usr/bin/perl {ROOT}/stretched.pl"):
        lab.ssh(HOST, f"sudo systemctl restart hello@{slot}")
        pid = f"$(systemctl show -P MainPID hello@{slot})"
        long = f"sudo timeout 20 head -c 100000000 /proc/{pid}/environ | wc -c"
        assert eventually(lambda: int(lab.ssh(HOST, long).stdout) == 100_000_000), "this kernel lets it not"
        yield
    lab.ssh(HOST, f"sudo rm {ROOT}/stretched.pl; sudo systemctl restart hello@{slot}")
    assert eventually(lambda: environment.status()[HOST]["health"] == "healthy")


def test_an_app_without_an_end_is_looked_at_all_the_same(environment: LabEnvironment, stretched: None) -> None:
    seen = measured(environment, "status", "--json", timeout=LONG)
    rows = {row["host"]: row for row in json.loads(seen.out)}
    rpc = measured(environment, "rpc", "--host", HOST, "1 + 1", timeout=LONG)
    page = measured(environment, "maintenance.on", timeout=LONG)
    back = measured(environment, "maintenance.off", timeout=LONG)
    spinning = environment.lab.ssh(HOST, f"pgrep -fa '{HELPER} '", check=False).stdout

    assert seen.seconds < 120
    assert rows["web2"]["health"] == "healthy"
    assert rows[HOST]["release"] == rows["web2"]["release"]
    assert rpc.seconds < 120
    assert rpc.code not in (0, -9)
    assert (page.code, page.seconds < 120) == (0, True)
    assert back.seconds < 120
    assert spinning == ""


def test_what_the_helper_does_as_the_deploy_user_is_not_waited_for_without_end(
    environment: LabEnvironment, restored: None
) -> None:
    lab = environment.lab
    link = lab.ssh(HOST, f"sudo readlink {ROOT}/current").stdout.strip()

    def reconcile_is_hindered() -> bool:
        lab.ssh(HOST, f"sudo ln -sfn nowhere {ROOT}/current")
        asked = f"sudo timeout -s KILL 90 {HELPER} reconcile </dev/null; echo status $?"
        done = lab.ssh(HOST, asked, check=False)
        assert "status 0" in done.stdout, done.stderr
        return "what is done as deploy was stopped" in done.stderr

    # The admin starts it: an ssh session of the deploy user would be stopped too, before it has ended.
    lab.ssh(HOST, f"sudo -u deploy setsid -f {STOPPING} </dev/null >/dev/null 2>&1")
    try:
        # On a busy machine, a command may end before it is stopped.
        assert eventually(reconcile_is_hindered)
    finally:
        lab.ssh(
            HOST,
            f"sudo pkill -KILL -u deploy; sudo ln -sfn {link} {ROOT}/current; sudo chown -h deploy: {ROOT}/current",
        )


def test_a_pattern_that_is_looked_for_in_the_journal_has_an_end_of_processor_time(environment: LabEnvironment) -> None:
    # The helper's input: count, time, pattern, slot, whether to follow.
    asked = f"(printf '%s\\n' '' '' '(a*)*b' '' yes; sleep 20) | sudo -n {HELPER} logs"
    follow = f"{{ {asked}; }} >/dev/null 2>&1 </dev/null &"
    limits = "sudo cat /proc/$(pgrep -n -x journalctl)/limits"
    environment.lab.ssh(HOST, f"{follow} until pgrep -x journalctl; do sleep 0.1; done >/dev/null; sleep 0.3", "deploy")

    shown = environment.lab.ssh(HOST, limits).stdout

    assert re.search(r"^Max cpu time +600 ", shown, re.MULTILINE), shown


@pytest.fixture
def restored(environment: LabEnvironment) -> Iterator[None]:
    """The deploy user's keys and processes are in order again."""
    yield
    environment.lab.ssh(HOST, "sudo pkill -KILL -u deploy; sudo usermod --expiredate '' deploy; true")
    environment.write()
    environment.fab("setup")
    assert environment.status()[HOST]["health"] == "healthy"


STOPPING = "perl -e 'setpgrp; $SIG{HUP} = q(IGNORE); fork and exit; 1 while kill(STOP => -1), 1'"
KILLING = "perl -e 'setpgrp; $SIG{HUP} = q(IGNORE); fork and exit; 1 while kill(KILL => -1), 1'"
FORKING = (
    "perl -e 'setpgrp; $SIG{HUP} = q(IGNORE); fork and exit; "
    "while (1) { fork and exit; select undef, undef, undef, 0.001 }'"
)
WRITING = (
    "perl -e 'setpgrp; $SIG{HUP} = q(IGNORE); fork and exit; my $key = shift;"
    " while (1) { open my $file, q(>>), q(/home/deploy/.ssh/authorized_keys); print $file $key, qq(\\n); close $file;"
    ' select undef, undef, undef, 0.002 }\' "$(cat /tmp/stolen.pub)"'
)
HIDING = "(trap '' TERM; while sleep 0.01; do :; done)"
LEFT_BEHIND = {
    "stops": [STOPPING],
    "kills": [KILLING],
    "writes": [WRITING],
    "multiplies": [FORKING, FORKING],
    "multiplies and writes": [FORKING, WRITING, HIDING],
    "stops and writes": [WRITING, STOPPING],
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_setup_removes_a_key_whatever_its_owner_left_running(
    environment: LabEnvironment, restored: None, tmp_path: Path, what: str
) -> None:
    lab = environment.lab
    stolen = tmp_path / "stolen"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stolen], check=True)
    public = stolen.with_suffix(".pub").read_text().strip()
    environment.write(deploy_keys=[*environment.settings["deploy_keys"], public])
    environment.fab("setup")
    lab.ssh(HOST, "cat >/tmp/stolen.pub && chmod 644 /tmp/stolen.pub", stdin=public)
    login = (*ssh_argv(lab.name, HOST)[:-1], "-l", "deploy", "-o", "BatchMode=yes", "-i", str(stolen), HOST)
    lab.ssh(
        HOST,
        "cat >/tmp/left; chmod 755 /tmp/left",
        stdin="\n".join(f"{one} </dev/null >/dev/null 2>&1 &" for one in LEFT_BEHIND[what]) + "\n",
    )
    subprocess.Popen(
        [*login, "setsid bash /tmp/left"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    count = "pgrep -u deploy -fc 'perl -e|while sleep' || true"
    assert eventually(lambda: int(lab.ssh(HOST, count).stdout or 0) > 0)
    environment.write()

    done = environment.fab("setup", timeout=100)

    assert "deploy key removed" in done.stderr or what in ("stops", "kills", "stops and writes")
    assert lab.ssh(HOST, "pgrep -u deploy -l", check=False).stdout == ""
    held = lab.ssh(HOST, "sudo cat /home/deploy/.ssh/authorized_keys").stdout
    assert public.split()[1] not in held
    refused = subprocess.run(
        [*login[:-1], "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-F", "none", HOST, "true"],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 255
    # A key that stays lets its owner in again.
    assert lab.ssh(HOST, "id -un", "deploy").stdout == "deploy\n"
