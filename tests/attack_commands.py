"""Attacks on a host, as commands of bash: on root's files, on an app's two users, on another app."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from tests.attack import HELPER, ROOT

# Ways to change a file, and ways to change a directory.
ON_FILES = (": >>{}", "rm -f {}", "mv -T {0} {0}.gone", "ln -sfnT /tmp {}", "chmod a+w {}", "chown $UID {}")
ON_LINKS = ON_FILES[1:4]
ON_DIRECTORIES = (": >{}/planted", "mkdir {}/planted", "ln -s /tmp {}/planted", "chmod a+w {}", "mv -T {0} {0}.gone")

ROOTS_FILES = (
    "/etc/acme/hello/app.env",
    "/etc/acme/hello/cookie.env",
    "/etc/acme/hello/redirect-a.nft",
    "/etc/acme/hello/secrets.env",
    "/etc/acme/hello/slot-a.env",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/ssh/sshd_config",
    "/etc/sudoers",
    "/etc/sudoers.d/warpbeam-hello",
    "/etc/sysctl.d/60-warpbeam-hello.conf",
    "/home/admin/.ssh/authorized_keys",
    "/lib/systemd/system/hello-activate.service",
    "/lib/systemd/system/hello.service",
    "/lib/systemd/system/hello@.service",
    "/root/.bashrc",
    "/run/warpbeam-hello.lock",
    "/usr/bin/sudo",
    "/usr/lib/warpbeam/hello/warpbeam-helper",
    "/usr/lib/warpbeam/hello/launch",
    "/usr/lib/warpbeam/hello/environment",
    "/usr/lib/warpbeam/hello/maintenance",
)
ROOTS_DIRECTORIES = (
    "/etc",
    "/etc/acme",
    "/etc/acme/hello",
    "/etc/cron.d",
    "/etc/profile.d",
    "/etc/sudoers.d",
    "/etc/systemd/system",
    "/etc/tmpfiles.d",
    "/home",
    "/home/admin",
    "/lib/systemd/system",
    "/opt",
    "/opt/acme",
    "/root",
    "/run",
    "/run/log/journal",
    "/run/systemd",
    "/run/systemd/system",
    "/usr/bin",
    "/usr/lib/warpbeam",
    "/usr/lib/warpbeam/hello",
    "/usr/local/bin",
    "/var/lib",
    "/var/log",
)
# Files of the kernel's can be written, not moved.
KERNELS = (
    "/proc/1/mem",
    "/proc/1/oom_score_adj",
    "/proc/sys/kernel/core_pattern",
    "/sys/fs/cgroup/cgroup.procs",
    "/dev/mem",
    "/dev/kmsg",
)
SECRETS = (
    "cat /etc/acme/hello/secrets.env",
    "cat /etc/shadow",
    "cat /home/admin/.ssh/authorized_keys",
    "cat /proc/1/environ",
    "cat /root/.bashrc",
    "shopt -s nullglob; cat /{run,var}/log/journal/*/system.journal",
    "ls /etc/acme/hello",
    "nft list ruleset",
    "dmesg",
)
# PTRACE_ATTACH to a process, by the system call itself: a host has no debugger.
_PTRACE = {"x86_64": 101, "aarch64": 117}[platform.machine()]
PTRACE = f"perl -e 'syscall({_PTRACE}, 16, {{}}, 0, 0) == 0 or die \"$!\"'"
# To be root, or to have root do something; without sudo.
BECOMING = (
    "su -c id",
    "setpriv --reuid=0 id",
    "chroot / id",
    "nsenter -t 1 -m id",
    "unshare -m id",
    "unshare -r bash -c ': >>/etc/passwd'",
    "mount -t tmpfs none /mnt",
    "mount --bind /tmp /etc/sudoers.d",
    "umount /opt",
    "mknod /tmp/warpbeam-disk b 7 0",
    "hostname planted",
    "sysctl -w kernel.core_pattern=planted",
    "kill -0 1",
    PTRACE.format("1"),
    "systemctl daemon-reload",
    "systemctl kill hello@$slot",
    "systemctl restart ssh",
    "systemctl set-environment LD_PRELOAD=/tmp/planted.so",
    "systemctl stop hello@$slot",
    "systemctl reboot",
    "systemd-run id",
    "systemd-run --pty id",
    "s=org.freedesktop.systemd1; busctl call $s /${s//.//} $s.Manager StopUnit ss hello@$slot.service replace",
    "loginctl enable-linger root",
    "passwd -d root",
    "gpasswd -a hello sudo",
    "usermod -aG sudo hello",
    "chsh -s /tmp/planted root",
    "file=$(mktemp); trap 'rm -f $file' EXIT; chown root $file",
    f"{HELPER} stop <<<a",
    f"{HELPER} reconcile",
    f"{HELPER} start <<<a",
)

# Files of the deploy user, which the app must not touch.
DEPLOYS_FILES = (
    f"{ROOT}/activation/job",
    f"{ROOT}/current/bin/hello",
    f"{ROOT}/current/.warpbeam/manifest",
    f"{ROOT}/history.jsonl",
    "/home/deploy/.bashrc",
    "/home/deploy/.ssh/authorized_keys",
)
DEPLOYS_LINKS = (f"{ROOT}/current", f"{ROOT}/slots/$slot")
DEPLOYS_DIRECTORIES = (
    ROOT,
    f"{ROOT}/activation",
    f"{ROOT}/current/bin",
    f"{ROOT}/releases",
    f"{ROOT}/slots",
    "/home/deploy",
    "/home/deploy/.ssh",
)
DEPLOYS = (
    "cat /home/deploy/.ssh/authorized_keys",
    f"ls {ROOT}/activation",
    f"cat {ROOT}/activation/job",
    f"sudo -n {HELPER} version",
    f"sudo -n {HELPER} activate",
    "sudo -n id",
    "sudo -n -u deploy id",
)
# Files of the app, which the deploy user must not touch; the process's environment has the secrets.
APPS_DIRECTORIES = ("/run/hello-$slot", "/var/lib/hello", "/var/lib/hello/crash")
APPS = (
    "ls /var/lib/hello",
    "ls /run/hello-$slot",
    "cat /var/lib/hello/hello.state",
    "cat /proc/$hello/environ",
    "ls /proc/$hello/fd",
    ": >>/proc/$hello/mem",
    "kill -0 $hello",
    PTRACE.format("'$hello'"),
    "setpriv --reuid=hello id",
)
# To get at another app, whose app's user and deploy user are its own.
OTHERS_FILES = (
    "/etc/acme/{0}/secrets.env",
    "/etc/sudoers.d/warpbeam-{0}",
    "/lib/systemd/system/{0}@.service",
    "/usr/lib/warpbeam/{0}/warpbeam-helper",
    "/opt/acme/{0}/current",
    "/opt/acme/{0}/current/bin/hello",
    "/opt/acme/{0}/history.jsonl",
    "/opt/acme/{0}/activation/job",
    "/var/lib/{0}/hello.state",
)
OTHERS_DIRECTORIES = (
    "/opt/acme/{0}",
    "/opt/acme/{0}/activation",
    "/opt/acme/{0}/current/bin",
    "/opt/acme/{0}/releases",
    "/opt/acme/{0}/slots",
    "/var/lib/{0}",
    "/etc/acme/{0}",
    "/usr/lib/warpbeam/{0}",
)
OTHERS = (
    "ls /opt/acme/{0}",
    "ls /opt/acme/{0}/releases",
    "cat /opt/acme/{0}/history.jsonl",
    "cat /opt/acme/{0}/current/bin/hello",
    "cat /opt/acme/{0}/current/.warpbeam/artifact.json",
    "cat /etc/acme/{0}/secrets.env",
    "cat /proc/${0}/environ",
    ": >>/proc/${0}/mem",
    "kill -0 ${0}",
    PTRACE.format("'${0}'"),
    "sudo -n /usr/lib/warpbeam/{0}/warpbeam-helper version",
    "sudo -n /usr/lib/warpbeam/{0}/warpbeam-helper activate",
    "/usr/lib/warpbeam/{0}/warpbeam-helper stop <<<a",
    "sudo -n -u {0} id",
)
# Things that a process without a sandbox may do, and the app must not.
SANDBOXED = (
    "unshare --user true",
    "file=$(mktemp); trap 'rm -f $file' EXIT; chmod 4755 $file",
    "ls /home/deploy",
    "cat /proc/$shop/status",
    "cat /proc/meminfo",
    # AF_PACKET, SOCK_RAW.
    "perl -e 'socket(my $s, 17, 3, 0) or die \"$!\"'",
)


def on_paths(files: Sequence[str], directories: Sequence[str] = (), links: Sequence[str] = ()) -> list[str]:
    """Every way to change each of them."""
    ways = ((ON_FILES, files), (ON_DIRECTORIES, directories), (ON_LINKS, links))
    return [way.format(path) for some, paths in ways for path in paths for way in some]


def others(app: str) -> list[str]:
    """Every way to get at that app."""
    attacks = [*on_paths(OTHERS_FILES, OTHERS_DIRECTORIES), *OTHERS]
    return [attack.replace("{0}", app) for attack in attacks]


ROOTS = [*on_paths(ROOTS_FILES, ROOTS_DIRECTORIES), *(f": >>{file}" for file in KERNELS), *SECRETS, *BECOMING]
OF_DEPLOY = [*ROOTS, *others("shop"), *on_paths((), APPS_DIRECTORIES), *APPS]
OF_THE_APP = [*ROOTS, *others("shop"), *on_paths(DEPLOYS_FILES, DEPLOYS_DIRECTORIES, DEPLOYS_LINKS), *DEPLOYS]
