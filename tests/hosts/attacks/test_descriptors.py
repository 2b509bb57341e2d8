"""Descriptors of the deploy user's files that a process of the app was given: they are worth nothing after an eviction.

A descriptor outlives the key, the process and the name of the file by which it was opened. So what is later executed or
believed must be another file by then.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from tests.attack import HOST, ROOT
from tests.environment import LabEnvironment
from tests.lab import LabHandle

PLACE = "/var/lib/hello"
NAME = "descriptors"
# Numbers of sendmsg and recvmsg, and structures of 64 bits (sendmsg(2), cmsg(3)): perl has no function for these.
COMMON = r"""
use strict; use Socket; use Fcntl; use Config;
my ($SEND, $RECEIVE) = $Config{archname} =~ /^aarch64/ ? (211, 212) : (46, 47);
my ($name) = "\0" . shift @ARGV;
sub address { unpack 'Q', pack 'P', $_[0] }
"""
# Opens each file for reading and writing, and passes the descriptor on (unix(7), SCM_RIGHTS).
SENDER = rf"""{COMMON}
for my $file (@ARGV) {{
  sysopen my $opened, $file, O_RDWR or die "$file: $!";
  socket my $to, PF_UNIX, SOCK_STREAM, 0 or die;
  connect $to, pack_sockaddr_un($name) or die "connect: $!";
  my $text = pack 'A255', $file;
  my $parts = pack 'QQ', address($text), 255;
  my $control = pack 'QiiiL', 20, SOL_SOCKET, 1, fileno $opened, 0;
  my $message = pack 'QQQQQQQ', 0, 0, address($parts), 1, address($control), 24, 0;
  syscall($SEND, fileno $to, $message, 0) == 255 or die "sendmsg: $!";
  sysread $to, my $done, 1;
}}
"""
# Takes descriptors, as many as the second argument says; then writes a command of its own into each job, and into each
# file of a release once a newer release has that file too. `held` says which files can still be reached by a name.
HOLDER = rf"""{COMMON}
my ($count, $releases, $place) = @ARGV;
socket my $listener, PF_UNIX, SOCK_STREAM, 0 or die;
bind $listener, pack_sockaddr_un($name) or die "bind: $!";
listen $listener, 5;
my @files;
while (@files < $count) {{
  accept my $from, $listener or die;
  my ($text, $control) = ("\0" x 255, "\0" x 64);
  my $parts = pack 'QQ', address($text), 255;
  my $message = pack 'QQQQQQQ', 0, 0, address($parts), 1, address($control), 64, 0;
  syscall($RECEIVE, fileno $from, $message, 0) == 255 or die "recvmsg: $!";
  open my $held, '+<&=', unpack 'i', substr $control, 16, 4 or die "fdopen: $!";
  $text =~ s/\s+$//;
  push @files, {{name => $text, held => $held, links => (stat $held)[3], size => -1}};
  syswrite $from, 'x';
}}
sub names {{ opendir my $there, $releases or return; grep {{ /Z$/ }} readdir $there }}
my %before = map {{ $_ => 1 }} names();
sub plant {{
  my ($file, $command) = @_;
  sysseek $file->{{held}}, 0, 0;
  sysread $file->{{held}}, my $text, 1 << 20;
  return if $text =~ /^# planted/;
  sysseek $file->{{held}}, 0, 0;
  syswrite $file->{{held}}, "# planted\n$command\n$text";
}}
for (my $round = 0; ; $round++) {{
  my $newer = grep {{ !$before{{$_}} }} names();
  for my $file (@files) {{
    my ($links, $size) = (stat $file->{{held}})[3, 7];
    if ($file->{{name}} =~ m(/job$)) {{
      # Written whole: its size stays.
      plant($file, 'id -un >~/planted') if $links && $newer && $size && $size == $file->{{size}};
      $file->{{size}} = $size;
    }} elsif ($file->{{name}} =~ m(/releases/) && $newer && $links > $file->{{links}}) {{
      plant($file, "id -un >$place/planted");
    }}
  }}
  if ($round % 50 == 0) {{
    open my $report, '>', "$place/held.new" or die;
    for my $file (@files) {{
      my $links = (stat $file->{{held}})[3];
      print $report join(' ', $links - $file->{{links}}, $links, $file->{{name}}), "\n";
    }}
    close $report;
    rename "$place/held.new", "$place/held";
  }}
  select undef, undef, undef, 0.002;
}}
"""
# Sets or removes an access control list, in which `nobody` may read (acl(5), setxattr(2)).
ACCESS_LIST = r"""
use Config;
my ($SET, $REMOVE) = $Config{archname} =~ /^aarch64/ ? (5, 14) : (188, 197);
my ($path, $kind) = (shift, 'system.posix_acl_access');
my @entries = ([1, 7, -1], [2, 5, scalar getpwnam 'nobody'], [4, 5, -1], [16, 5, -1], [32, 0, -1]);
my $list = pack 'L', 2;
$list .= pack 'SSl', @$_ for @entries;
my $done = @ARGV ? syscall($REMOVE, $path, $kind) : syscall($SET, $path, $kind, $list, length $list, 0);
$done == 0 or die $!;
"""
# The files of the deploy user's that a descriptor is passed of: all but those of releases, and one of the live release.
LISTED = f"""
cd {ROOT}
find "$PWD" ~ -path '*/releases/*' -prune -o -path '*/.ssh/*' -prune -o -type f -print
printf '%s\\n' {ROOT}/$(readlink current | sed 's,^,./,')/releases/*/env.sh
"""


class Held(msgspec.Struct, frozen=True):
    """A file of which the app holds a descriptor: the number of its names, and by how much that has grown."""

    name: str
    names: int
    more: int


class After(msgspec.Struct, frozen=True):
    """The host after an eviction and the deploy that followed: what `setup` said, what ran, what can be reached."""

    setup: str
    as_deploy: str
    as_app: str
    held: tuple[Held, ...]


@pytest.fixture(scope="module")
def after(environment: LabEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """The app has descriptors from the owner of a stolen key; that key is removed, and the app deployed."""
    lab = environment.lab
    stolen = tmp_path_factory.mktemp("stolen") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stolen], check=True)
    public = stolen.with_suffix(".pub").read_text().strip()
    environment.write(deploy_keys=[*environment.settings["deploy_keys"], public])
    environment.fab("setup")
    files = lab.ssh(HOST, LISTED, "deploy").stdout.split("\n")[:-1]
    try:
        hold(lab, files)
        lab.ssh(HOST, f"perl - {ROOT}/slots", "deploy", stdin=ACCESS_LIST)
        environment.write()
        setup = environment.fab("setup").stderr
        environment.fab("deploy", "--force", expect=None)
        held = [line.split(" ", 2) for line in root(lab, f"sleep 1; cat {PLACE}/held").splitlines()]
        yield After(
            setup,
            root(lab, "cat /home/deploy/planted 2>/dev/null || true"),
            root(lab, f"cat {PLACE}/planted 2>/dev/null || true"),
            tuple(Held(name, int(names), int(more)) for more, names, name in held),
        )
    finally:
        lab.ssh(HOST, f"perl - {ROOT}/slots away", "deploy", stdin=ACCESS_LIST)
        end = f"pkill -u hello -f '^perl {PLACE}/{NAME}'; rm -f {PLACE}/planted {PLACE}/held {PLACE}/{NAME}*"
        root(lab, f"{end} /home/deploy/planted; cat {PLACE}/{NAME}.log 2>/dev/null || true")
        environment.write()
        environment.fab("setup")
        environment.fab("deploy", "--force")


def root(lab: LabHandle, command: str) -> str:
    """Run a command as root; return its output."""
    return lab.ssh(HOST, f"sudo bash -c {shlex.quote(command)}").stdout


def hold(lab: LabHandle, files: list[str]) -> None:
    """Pass descriptors of `files`, as the deploy user, to a process of the app's user, which keeps them."""
    program = f"{PLACE}/{NAME}"
    become = "setpriv --reuid=hello --regid=hello --init-groups"
    lab.ssh(HOST, f"sudo {become} tee {program} >/dev/null", stdin=HOLDER)
    words = f"{NAME} {len(files)} {ROOT}/releases {PLACE}"
    root(lab, f"{become} setsid -f perl {program} {words} </dev/null >{program}.log 2>&1; sleep 1")
    lab.ssh(HOST, f"perl - {NAME} {shlex.join(files)}", "deploy", stdin=SENDER)


def test_a_descriptor_of_the_job_does_not_run_as_deploy_after_an_eviction(after: After) -> None:
    assert f"{ROOT}/activation/job" in {held.name for held in after.held}
    assert after.as_deploy == ""


def test_a_descriptor_of_a_release_does_not_run_in_one_made_after_an_eviction(after: After) -> None:
    release = [held for held in after.held if held.name.endswith("/env.sh")]
    assert after.as_app == ""
    assert [held.more > 0 for held in release] == [False]


def test_no_file_of_deploy_from_before_an_eviction_has_a_name_after_it(after: After) -> None:
    own = [held for held in after.held if not held.name.endswith("/env.sh")]

    assert len(own) > 10
    assert [held.name for held in own if held.names > 0] == []


def test_setup_says_after_an_eviction_that_the_app_is_to_be_deployed_anew(after: After) -> None:
    assert "deploy --force" in after.setup


def test_setup_names_an_access_control_list_that_outlives_a_key(after: After) -> None:
    assert f"{ROOT}/slots has an access control list" in after.setup
