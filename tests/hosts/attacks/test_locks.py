"""Locks that other users of a host take on files of ours: no command waits for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.attack import HOST, ROOT
from tests.environment import LabEnvironment

# Opens each file and directory that it can, and locks it. Any open file may be locked (flock(2)).
LOCKING = r"""
use strict;
open my $report, '>', $ARGV[0] or die;
my @held;
while (my $path = <STDIN>) {
  chomp $path;
  for my $mode ('<', '>>') { open my $file, $mode, $path or next; flock $file, 6 and push @held, $file; }
}
print $report scalar @held;
close $report;
sleep 600;
"""
OURS = f"{ROOT} /var/lib/warpbeam /usr/lib/warpbeam /etc/acme /run/warpbeam*"


@pytest.fixture(params=["hello", "nobody"])
def locked(environment: LabEnvironment, request: pytest.FixtureRequest) -> Iterator[None]:
    """A process of that user has locked all of our files that it can."""
    lab, user = environment.lab, request.param
    program, report = "/tmp/warpbeam-locking", f"/tmp/warpbeam-locked-{user}"
    become = f"setpriv --reuid={user} --regid=$(id -g {user}) --init-groups"
    lab.ssh(HOST, f"cat >{program}; chmod 644 {program}", stdin=LOCKING)
    start = (
        f"cd /; find {OURS} "
        f"-path '{ROOT}/releases/*' -prune -o \\( -type f -o -type d \\) -print >{program}.list; "
        f"chmod 644 {program}.list; "
        f"{become} setsid -f perl {program} {report} <{program}.list >/dev/null 2>&1; "
        f"timeout 20 bash -c 'until [[ -s {report} ]]; do sleep 0.1; done'; cat {report}"
    )
    count = int(lab.ssh(HOST, f"sudo bash -c {shlex.quote(start)}").stdout)
    # The app can enter its directory; everybody can read the programs and the record of releases.
    assert count > 3
    yield
    lab.ssh(HOST, f"sudo pkill -u {user} -f '^perl {program}'; sudo rm -f {program}* {report}")
    environment.fab("start", expect=None)


def test_no_lock_that_another_user_takes_keeps_a_command_waiting(environment: LabEnvironment, locked: None) -> None:
    for words in (["restart"], ["stop"], ["start"], ["maintenance.on"], ["maintenance.off"]):
        done = environment.fab("-H", HOST, *words, timeout=25)
        assert "could not be written" not in done.stderr
