"""Attacks on a host, as data: what is tried and by whom, what the host said, and what it was like before and after."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from tests.lab import LabHandle

HOST = "web1"
ROOT = "/opt/acme/hello"
HELPER = "/usr/lib/warpbeam/hello/warpbeam-helper"
# The refusals of a host. "Not found" is a refusal only in a sandbox, which hides things.
REFUSAL = (
    "[Pp]ermission denied|Operation not permitted|Read-only file system|not allowed|not permitted|"
    "Access denied|Interactive authentication required|no new privileges|a password is required|Authentication failure|"
    "may not|must be (root|superuser)|cannot open /etc/gshadow"
)
HIDDEN = f"{REFUSAL}|No such file or directory|cannot access|No such process|Failed to connect|not supported"

# Each attack is run in a shell of its own without standard input; a line each: its status, and what it said.
TRY = """
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /
try() {
  local said status=0
  said=$( (eval "$1") 2>&1 </dev/null) || status=$?
  printf '%s\\t%s\\n' "$status" "${said//[^[:print:]]/ }"
}
"""
# The state that may not change: kind, mode, owner, size, change time and aim of files (of a directory the time of
# its last entry: on an overlay its being read counts as a change); programs run as another user; main processes and
# rules. (The app writes below /var/lib, systemd too; and `activation` below plants a job.)
STATE = """
find /boot /etc /home /lib/systemd /opt /root /run/hello-* /run/shop-* /run/systemd/system /srv /usr/bin \
  /usr/lib/warpbeam /usr/local /usr/sbin /var/lib /var/spool -xdev \
  ! -path '/var/lib/systemd/*' ! -path '/var/lib/hello/*' ! -path '/opt/acme/hello/activation*' \
  \\( -type d -printf '%y %m %u:%g %s %T@ %p\\n' -o -printf '%y %m %u:%g %s %C@ %l %p\\n' \\) 2>/dev/null
find / -xdev -perm /6000 -type f
for unit in hello@a hello@b shop@a shop@b ssh; do echo "$unit runs as $(systemctl show -P MainPID $unit)"; done
hostname; cat /proc/sys/kernel/core_pattern
nft --stateless --terse list ruleset
"""


class Outcome(msgspec.Struct, frozen=True):
    """The end of an attack: its exit status, and its output."""

    status: int
    said: str


# Runs a script of bash as somebody, and returns what it said on standard output.
Attacker = Callable[[LabHandle, str], str]


def logged_in(user: str) -> Attacker:
    """A user who logs in with ssh."""
    return lambda lab, script: lab.ssh(HOST, "bash -s", user, stdin=script).stdout


def bare(user: str) -> Attacker:
    """A process of that user with no sandbox around it, as if the app had broken out of its unit."""
    become = f"sudo setpriv --reuid={user} --regid={user} --init-groups bash -s"
    return lambda lab, script: lab.ssh(HOST, become, stdin=script).stdout


def running_app(lab: LabHandle, script: str) -> str:
    """The running app itself, in its unit: what somebody has who can make it evaluate anything."""
    return _evaluated(lab, "rpc", _expression(script))


def evaluation(lab: LabHandle, script: str) -> str:
    """An expression in a VM of its own, which has a unit of its own."""
    expression = _expression(script)
    return _evaluated(lab, "eval", f"{len(expression)}\n{expression}")


def activation(lab: LabHandle, script: str) -> str:
    """The job of an activation, which is the deploy user's own text and which PID 1 starts, without a session."""
    plant = f"""
        cd {ROOT}/activation && mv job job.mine && cat >job <<'JOB'
exec >{ROOT}/activation/said 2>&1
{script}
JOB
        sudo -n {HELPER} activate </dev/null; mv -f job.mine job; cat said; rm -f said
    """
    return lab.ssh(HOST, "bash -s", "deploy", stdin=plant).stdout


def _expression(script: str) -> str:
    text = base64.b64encode(script.encode()).decode()
    run = f'System.cmd("bash", ["-c", Base.decode64!("{text}")], stderr_to_stdout: true)'
    return f"{run} |> elem(0) |> Base.encode64()"


def _evaluated(lab: LabHandle, verb: str, stdin: str) -> str:
    # The caller of `eval` keeps its standard input open until the value has come.
    feed = "cat; exec sleep 60 </dev/null 2>/dev/null" if verb == "eval" else "cat"
    value = lab.ssh(HOST, f"sudo -n {HELPER} {verb} < <({feed})", "deploy", stdin=stdin).stdout
    return base64.b64decode(value.split()[-1].strip('"')).decode()


def try_attacks(lab: LabHandle, attacker: Attacker, attacks: Sequence[str]) -> dict[str, Outcome]:
    """Try all of them, in one request; how each ended."""
    script = TRY + pids(lab) + "".join(f"try {shlex.quote(attack)}\n" for attack in attacks)
    lines = attacker(lab, script).splitlines()
    assert len(lines) == len(attacks), lines[-3:]
    found = (line.partition("\t") for line in lines)
    return {
        attack: Outcome(int(status), said.strip()) for attack, (status, _, said) in zip(attacks, found, strict=True)
    }


def find_unrefused(outcomes: dict[str, Outcome], no: str = REFUSAL) -> dict[str, Outcome]:
    """Find attacks that were not plainly refused: they worked, or failed for a reason that is no protection."""
    return {
        attack: outcome
        for attack, outcome in outcomes.items()
        if outcome.status == 0 or not re.search(no, outcome.said)
    }


def pids(lab: LabHandle) -> str:
    """Variables: the main processes of both apps, the slot that is live and the one that is not."""
    show = "for app in hello shop; do echo $app=$(systemctl show -P MainPID $app@a $app@b | grep -vx -e 0 -e ''); done"
    slots = (
        f"slot=$(sudo readlink {ROOT}/current); echo slot=${{slot#slots/}}; echo idle=$(tr ab ba <<<${{slot#slots/}})"
    )
    return lab.ssh(HOST, f"{show}; {slots}").stdout


@contextmanager
def assert_unchanged(lab: LabHandle, except_for: str = "nothing") -> Iterator[None]:
    """Fail unless the host is afterwards as it was before; `except_for` is a pattern of what may change."""
    before = _state(lab)
    yield
    changed = {line for line in before ^ _state(lab) if not re.search(except_for, line)}
    assert not changed, "\n".join(sorted(changed))


def _state(lab: LabHandle) -> set[str]:
    return set(lab.ssh(HOST, "sudo bash -s", stdin=STATE).stdout.splitlines())


@contextmanager
def journal(lab: LabHandle, *arguments: str) -> Iterator[list[str]]:
    """Collect the lines that the journal gets meanwhile, chosen by `arguments` of journalctl; read them afterwards."""
    since = lab.ssh(HOST, "date +@%s.%6N").stdout.strip()
    lines: list[str] = []
    yield lines
    chosen = shlex.join((f"--since={since}", "--output=cat", *arguments))
    # sudo tells an argument as it was, whatever its encoding.
    show = f"sudo journalctl --quiet --no-pager {chosen}"
    lines += lab.ssh(HOST, f"sudo journalctl --sync && {show} | tr -d '\\200-\\377'").stdout.splitlines()
