"""Attacks that the lab refuses by itself: that somebody is refused them on a lab's host proves nothing about Warpbeam.

Who is refused an attack must be refused by what we set up: by users, modes, sudo's rules, the unit's sandbox. Therefore
root must be able to do it, in no sandbox, on the same host. What root cannot do is in IMPOSSIBLE
(tests/hosts/attacks/test_lab_power.py holds the list exact).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from tests.attack import HELPER, HOST, Outcome, pids
from tests.attack_commands import OF_DEPLOY, OF_THE_APP, SANDBOXED
from tests.lab import LabHandle

# Patterns of attacks (of the whole line), and what refuses them to root as well.
IMPOSSIBLE = {
    r": >>/proc/sys/kernel/core_pattern": "systemd-nspawn mounts /proc/sys read-only, for it is this machine's",
    r"sysctl -w kernel\.core_pattern=planted": "systemd-nspawn mounts /proc/sys read-only, for it is this machine's",
    r": >>/dev/(mem|kmsg)": "systemd-nspawn makes no such device",
    r"dmesg": "systemd-nspawn refuses syslog(2) and CAP_SYSLOG, for the kernel's log is this machine's",
    r"mv -T (/opt|/run) \1\.gone": "a mount point, which nobody moves; on a Debian, /run is one as well",
    r": >>/opt/acme/shop/current": "a link to a directory, to which nobody can append",
}

# Replacements for attacks that would do harm outside of a copy of the host's files, or in whose place root could do
# something else: the same right, used harmlessly.
_MANAGER = "s=org.freedesktop.systemd1; busctl call $s /${s//.//} $s.Manager"
HARMLESS = {
    # Root would make a plain file where there is no device.
    ": >>/dev/mem": "test -c /dev/mem && : >>/dev/mem",
    ": >>/dev/kmsg": "test -c /dev/kmsg && : >>/dev/kmsg",
    # All machines' own, were it written.
    "sysctl -w kernel.core_pattern=planted": "test -w /proc/sys/kernel/core_pattern",
    "systemctl kill hello@$slot": "systemctl kill --signal=CONT hello@$slot",
    "systemctl restart ssh": "systemctl reload ssh",
    "systemctl set-environment LD_PRELOAD=/tmp/planted.so": (
        "systemctl set-environment PLANTED=1 && systemctl unset-environment PLANTED"
    ),
    "systemctl stop hello@$slot": "systemctl start hello@$slot",
    "systemctl reboot": (
        "s=org.freedesktop.login1; busctl call $s /${s//.//} $s.Manager CanReboot | grep -x 's \"yes\"'"
    ),
    f"{_MANAGER} StopUnit ss hello@$slot.service replace": f"{_MANAGER} StartUnit ss hello@$slot.service replace",
    "loginctl enable-linger root": "loginctl enable-linger root && loginctl disable-linger root",
    f"{HELPER} stop <<<a": f"{HELPER} version",
    f"{HELPER} start <<<a": f"{HELPER} version",
    f"{HELPER} reconcile": f"{HELPER} version",
    f"sudo -n {HELPER} activate": f"sudo -n {HELPER} version",
    "sudo -n /usr/lib/warpbeam/shop/warpbeam-helper activate": "sudo -n /usr/lib/warpbeam/shop/warpbeam-helper version",
    "/usr/lib/warpbeam/shop/warpbeam-helper stop <<<a": "/usr/lib/warpbeam/shop/warpbeam-helper version",
}
# PTRACE_ATTACH stops the process, PID 1 for good (the stop may arrive after perl has ended). PTRACE_SEIZE needs the
# same right, and stops nothing.
ATTACH, SEIZE = r"(perl -e 'syscall\(\d+, )16, ", r"\g<1>0x4206, "


# Each is tried in a mount namespace of its own whose root is a copy (an overlay) of the host's file system, and goes
# with it. One that is lost in a pipe ends with its time.
ON_A_COPY = """
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin hello shop slot idle
cd /
copy=/run/warpbeam-copy
mkdir -p $copy
trap 'rmdir $copy' EXIT
export inside='
  set -e
  copy=/run/warpbeam-copy new=/run/warpbeam-copy/root
  mount -t tmpfs none $copy
  mkdir $new
  for place in / /opt /run; do
    here=$copy/over$place
    mkdir -p $here/upper $here/work
    mount -t overlay -o redirect_dir=on,lowerdir=$place,upperdir=$here/upper,workdir=$here/work none $new$place
  done
  # Who connects to a socket in an overlay finds nobody there.
  for socket in /run/systemd/private /run/dbus/system_bus_socket; do mount --bind $socket $new$socket; done
  mount -t tmpfs none $new/tmp
  for place in /proc /sys /dev; do mount --rbind $place $new$place; done
  cd $new
  pivot_root . mnt
  umount -l /mnt
  cd /
  set +e
  eval "$1"
'
try() {
  local said status
  said=$(
    timeout -k 1 15 unshare --mount --uts bash -c "$inside" try "$1" 2>&1 </dev/null | tail -c 300
    exit "${PIPESTATUS[0]}"
  )
  status=$?
  printf '%s\\t%s\\n' "$status" "${said//[^[:print:]]/ }"
}
"""
AT_ONCE = 150


def every_attack() -> list[str]:
    """Return all attacks that are refused to the deploy user, to the app's user, or to the running app."""
    return list(dict.fromkeys([*OF_DEPLOY, *OF_THE_APP, *SANDBOXED]))


def harmless(attack: str) -> str:
    """Return the attack that replaces that one: mostly itself."""
    return HARMLESS.get(attack, re.sub(ATTACH, SEIZE, attack))


def tried_by_root(lab: LabHandle, attacks: Sequence[str]) -> dict[str, Outcome]:
    """Have root try all of them on a copy of the host's files, in no sandbox; how each ended."""
    return dict(_tried(lab, attacks))


def _tried(lab: LabHandle, attacks: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
    for start in range(0, len(attacks), AT_ONCE):
        some = attacks[start : start + AT_ONCE]
        script = pids(lab) + ON_A_COPY + "".join(f"try {shlex.quote(harmless(attack))}\n" for attack in some)
        lines = lab.ssh(HOST, "sudo bash -s", stdin=script).stdout.splitlines()
        assert len(lines) == len(some), lines[-3:]
        for attack, line in zip(some, lines, strict=True):
            status, _, said = line.partition("\t")
            yield attack, Outcome(int(status), said.strip())


def reasons(attack: str) -> list[str]:
    """The patterns that an attack is one of, of those that cannot be tried."""
    return [pattern for pattern in IMPOSSIBLE if re.fullmatch(pattern, attack)]
