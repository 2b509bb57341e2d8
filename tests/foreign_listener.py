"""A stranger on a host: any of its users, who listens at a port of the app's and answers as the app would."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from tests.attack import HOST
from tests.background import eventually
from tests.lab import LabHandle

PROGRAM = "/tmp/warpbeam-stranger.pl"
ANSWER = "STRANGER"
# Each line that clients send it is written there.
RECEIVED = "/tmp/warpbeam-stranger.heard"
# FAMILY ADDRESS PORT BACKLOG PROTOCOL: as soon as the port is free; answers 200 to everything, for five minutes.
TEXT = f"""
use strict; use Socket qw(:all);
my ($family, $address, $port, $backlog, $protocol) = @ARGV;
alarm 300;
my $six = $family == 6;
my $to = $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : pack_sockaddr_in($port, inet_aton($address));
my $s;
while (1) {{
  socket($s, $six ? AF_INET6 : AF_INET, SOCK_STREAM, $protocol) or die "socket: $!";
  setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  setsockopt($s, 41, 26, 1) if $six;
  last if bind($s, $to) && listen($s, $backlog);
  close $s;
  select(undef, undef, undef, 0.002);
}}
while (accept(my $c, $s)) {{
  my $head = '';
  while (<$c>) {{ $head .= $_; syswrite(STDOUT, $_); last if /^\\r?\\n$/ }}
  print $c "HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\n{ANSWER}";
  close $c;
}}
"""


@contextmanager
def foreign_listener(
    lab: LabHandle, user: str, port: int, *, family: int = 4, address: str = "", backlog: int = 128, protocol: int = 0
) -> Iterator[None]:
    """Listen there as `user` meanwhile, from the first moment that no one else does, outside of any sandbox."""
    where = address or ("::" if family == 6 else "0.0.0.0")
    words = shlex.join(["perl", PROGRAM, str(family), where, str(port), str(backlog), str(protocol)])
    become = f"setpriv --reuid={user} --regid=$(id -g {user}) --clear-groups"
    lab.ssh(HOST, f"sudo tee {PROGRAM} >/dev/null && sudo chmod 644 {PROGRAM}", stdin=TEXT)
    pid = lab.ssh(HOST, f"sudo sh -c '{become} {words} </dev/null >{RECEIVED} 2>/dev/null & echo $!'").stdout.strip()
    try:
        yield
    finally:
        lab.ssh(HOST, f"sudo kill {pid}; sudo rm -f {PROGRAM} {RECEIVED}", check=False)


def await_foreign_listener(lab: LabHandle, user: str, port: int) -> None:
    """Wait until `user` listens there."""
    uid = lab.ssh(HOST, f"id -u {user}").stdout.strip()
    assert eventually(lambda: f"uid:{uid} " in lab.ssh(HOST, f"ss -Hltne 'sport = :{port}'").stdout)
