"""The cookie and the nodes' ports: no local user but root and the app itself can read the one or reach the other."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.attack import HOST
from tests.environment import LabEnvironment
from tests.hosts.provision.test_setup import root
from tests.hosts.terminal import ask, console
from tests.timeouts import LONG
from tests.unit_drop_in import drop_in
from warpbeam.lab.client import ssh_argv

COOKIE = "/etc/acme/hello/cookie.env"
DIST = {"a": 9001, "b": 9002}
# A user of the host who has nothing to do with any app.
VISITOR = "visitor"
SPIES = (VISITOR, "shopkeeper", "shop")

# Everything that /proc and ps show to somebody else, again and again, until a file `enough` is there; minutes at most.
SPY = """
cd "$1" || exit 1
for ((round = 0; round < 3000; round++)); do
  [[ ! -e enough ]] || break
  ps axeww -o args=
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '
  echo
  sleep 0.1
done 2>/dev/null | gzip -1 >seen.gz
: >done
"""


def cookie(environment: LabEnvironment, host: str = HOST) -> str:
    """The cookie that the host's settings have."""
    found = re.search(r"^RELEASE_COOKIE=(\w{32,})$", root(environment, f"cat {COOKIE}", host), re.MULTILINE)
    assert found
    return found[1]


def slot(environment: LabEnvironment, host: str = HOST) -> str:
    """The slot that is live."""
    return root(environment, "basename $(readlink /opt/acme/hello/current)", host).strip()


def put(environment: LabEnvironment, host: str, path: str, program: str) -> None:
    """A program for everybody to run."""
    environment.lab.ssh(host, f"sudo install -m 755 /dev/stdin {path}", stdin=program)


@pytest.fixture(scope="module", autouse=True)
def visitor(environment: LabEnvironment) -> Iterator[None]:
    """One more user on the hosts, with no rights at all."""
    for host in (HOST, "web2"):
        root(environment, f"id -u {VISITOR} >/dev/null 2>&1 || useradd --create-home {VISITOR}", host)
        put(environment, host, "/usr/local/bin/probe", PROBE)
    yield
    for host in (HOST, "web2"):
        root(
            environment,
            f"pkill -KILL -u {VISITOR}; userdel -r {VISITOR}; rm -f /usr/local/bin/probe",
            host,
            check=False,
        )


@contextmanager
def watched(environment: LabEnvironment, *users: str) -> Iterator[dict[str, str]]:
    """Collect everything that each of the users sees of the processes of the host meanwhile; it is there afterwards."""
    seen: dict[str, str] = {}
    places = {user: f"/var/tmp/spy-{user}" for user in users}
    put(environment, HOST, "/usr/local/bin/spy", SPY)
    for user, place in places.items():
        root(environment, f"rm -rf {place}; install -d -o {user} -m 700 {place}")
        root(
            environment,
            f"setsid setpriv --reuid={user} --regid={user} --init-groups bash /usr/local/bin/spy {place} "
            "</dev/null >/dev/null 2>&1 &",
        )
    try:
        yield seen
    finally:
        for user, place in places.items():
            root(
                environment,
                f"touch {place}/enough; for i in {{1..300}}; do [[ ! -e {place}/done ]] || break; sleep 0.1; done",
            )
            seen[user] = root(environment, f"zcat {place}/seen.gz | tr -c '[:print:]\\n' '?' | sort -u")
            root(environment, f"rm -rf {place}")


def test_no_other_user_reads_the_cookie_of_a_running_program(environment: LabEnvironment, second_app: None) -> None:
    old = cookie(environment)
    environment.fab("setup", "--rotate-cookie")
    new = cookie(environment)
    environment.version("9.9.1")

    with watched(environment, VISITOR, "shopkeeper") as seen:
        # With the old cookie, then with the new one; the migration is the deploy's.
        for turn in ("setup", "deploy"):
            environment.fab("rpc", "Process.sleep(1500); :rpc", "--host", HOST)
            environment.fab("eval", "Process.sleep(1500); :eval", "--host", HOST)
            with console(environment, "--host", HOST) as child:
                ask(child, "1 + 41", "42")
            environment.fab(turn)
        environment.fab("restart")
        environment.fab("rpc", "Process.sleep(1500)", "--host", HOST)

    assert old != new
    for user, text in seen.items():
        # They did look while each of these ran.
        for program in ("-name hello-[ab]@", "-name rpc-", "-name rem-", "-remsh", "--eval|-eval", "--rpc-eval"):
            assert re.search(program, text), f"{user} saw nothing of {program}"
        shown = [line for line in text.splitlines() if old in line or new in line]
        assert shown == [], user
        assert "-setcookie" not in text, user


# A test's question to a port. Protocol 262 is MPTCP, whose sockets hold others of the kernel's own.
PROBE = r"""#!/usr/bin/perl
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton IPPROTO_TCP);
my ($what, $protocol, $address, $port, $seconds) = @ARGV;
my $six = $address =~ /:/;
socket(my $socket, $six ? AF_INET6 : AF_INET, SOCK_STREAM, $protocol) or die "socket: $!\n";
setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
my $to = $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : pack_sockaddr_in($port, inet_aton($address));
if ($what eq 'listen') {
    bind($socket, $to) or die "bind: $!\n";
    listen($socket, 16) or die "listen: $!\n";
    $SIG{ALRM} = sub { exit 0 };
    alarm $seconds;
    while (accept(my $client, $socket)) { syswrite($client, "stranger\n"); }
}
$SIG{ALRM} = sub { print "silence\n"; exit 2 };
alarm 4;
connect($socket, $to) or do { print "$!\n"; exit 1 };
print "connected\n";
"""


def health_parameters(environment: LabEnvironment, user: str, *words: str | int, host: str = HOST) -> str:
    """Return what a user gets who connects: `connected`, `silence`, or the error."""
    become = f"setpriv --reuid={user} --regid={user} --init-groups"
    return root(environment, f"{become} probe connect {' '.join(map(str, words))} 2>&1", host, check=False).strip()


def test_no_other_user_of_the_host_connects_to_a_node(environment: LabEnvironment, second_app: None) -> None:
    port = DIST[slot(environment)]
    assert "127.0.0.1" in root(environment, f"ss -Hltn sport = :{port}")

    got = {
        (user, protocol, address): health_parameters(environment, user, protocol, address, port)
        for user in SPIES
        for protocol in (6, 262)
        for address in ("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0")
    }
    # The connection is opened by sshd, as the user who has logged in.
    *argv, host = ssh_argv(environment.lab.name, HOST)
    words = (*argv, "-l", "shopkeeper", "-o", "BatchMode=yes", "-W", f"127.0.0.1:{port}", host)
    forwarded = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    ).stderr

    assert {key: said for key, said in got.items() if said == "connected"} == {}
    assert "open failed: connect failed: Connection refused" in forwarded
    # The users who may connect do so by the same means.
    assert health_parameters(environment, "hello", 6, "127.0.0.1", port) == "connected"
    assert health_parameters(environment, "root", 6, "127.0.0.1", port) == "connected"


def test_another_app_that_knows_the_cookie_runs_nothing_in_the_node(
    environment: LabEnvironment, second_app: None
) -> None:
    live = slot(environment)
    # The other app's own release, told where to go.
    attack = f"""
        export RELEASE_NODE=hello-{live}@127.0.0.1 RELEASE_COOKIE={cookie(environment)} RELEASE_DISTRIBUTION=name
        export RELEASE_TMP=$(mktemp -d) HOME=$(mktemp -d)
        export ERL_AFLAGS='-start_epmd false -erl_epmd_port {DIST[live]} -dist_listen false'
        timeout 60 /opt/acme/shop/current/bin/hello rpc 'System.get_env("GREETING") |> IO.puts()' 2>&1
    """

    def ran(user: str) -> str:
        become = f"sudo setpriv --reuid={user} --regid=shop --clear-groups bash -s"
        return environment.lab.ssh(HOST, become, check=False, stdin=attack).stdout

    said = ran("shop")

    assert "good morning" not in said
    assert "noconnection" in said or "nodedown" in said
    # The attack is a real one: as the app itself it works.
    assert "good morning" in ran("hello")


def test_no_other_user_listens_in_the_apps_place(environment: LabEnvironment, second_app: None) -> None:
    live = slot(environment)
    idle = "b" if live == "a" else "a"
    port = DIST[idle]
    got = {}
    for user in ("hello", *SPIES):
        for protocol, address in ((6, "127.0.0.1"), (6, "0.0.0.0"), (262, "127.0.0.1"), (6, "::1"), (6, "::")):
            root(
                environment,
                f"setsid setpriv --reuid={user} --regid={user} --init-groups "
                f"probe listen {protocol} {address} {port} 30 </dev/null >/dev/null 2>&1 & "
                f"for i in {{1..100}}; do [[ -z $(ss -Hltn sport = :{port}) ]] || exit 0; sleep 0.1; done; exit 1",
            )
            to = "::1" if ":" in address else "127.0.0.1"
            got[user, protocol, address] = health_parameters(environment, "hello", 6, to, port)
            root(
                environment,
                f"pkill -KILL -u {user} -f 'probe [l]isten'; "
                f"for i in {{1..100}}; do [[ -n $(ss -Hltn sport = :{port}) ]] || exit 0; sleep 0.1; done; exit 1",
            )

    through = {key for key, said in got.items() if said == "connected"}
    assert through == {key for key in got if key[0] == "hello"}


def test_the_nodes_table_is_there_whatever_befalls_the_rules(environment: LabEnvironment) -> None:
    def stands() -> bool:
        table = root(environment, "nft list table inet warpbeam_hello_nodes 2>&1", check=False)
        return "skuid" in table and "reject with tcp reset" in table

    def comes() -> bool:
        deadline = time.monotonic() + LONG
        while not stands():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    assert stands()
    for harm in (
        "systemctl restart nftables",
        "systemctl reload nftables",
        "for i in 1 2 3 4 5 6 7 8; do systemctl reset-failed nftables; systemctl restart nftables; done",
        # While what the restart began is still under way.
        *(
            f"systemctl reset-failed nftables; systemctl restart nftables; sleep {delay}; systemctl reload nftables"
            for delay in (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
        ),
        "nft flush ruleset; systemctl reload-or-restart nftables",
        "nft flush ruleset; systemctl reload hello",
        "nft flush ruleset; systemctl stop nftables; systemctl start nftables",
    ):
        root(environment, harm)
        assert comes(), harm
    environment.fab("firewall.clear")
    try:
        assert stands()
    finally:
        environment.fab("firewall.apply")
    environment.lab.crash(HOST)
    environment.lab.boot(HOST)
    deadline = time.monotonic() + LONG
    while environment.status().get(HOST, {}).get("health") != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert stands()
    loaded = root(environment, "systemctl show -P ExecMainExitTimestampMonotonic hello.service")
    began = root(environment, f"systemctl show -P ExecMainStartTimestampMonotonic hello@{slot(environment)}.service")
    assert 0 < int(loaded) <= int(began)


@contextmanager
def peers(environment: LabEnvironment, directory: Path) -> Iterator[None]:
    """Both hosts let each other in meanwhile."""
    hosts = {
        name: {**host, "address": environment.lab.address(name)} if "app" in host["roles"] else host
        for name, host in environment.settings["hosts"].items()
    }
    # Where a host is called by an address, its key is known by it.
    known = directory / "known_hosts"
    lines = (environment.lab.ssh_config.parent / "known_hosts").read_text()
    for name in (HOST, "web2"):
        for key in root(environment, "cat /etc/ssh/ssh_host_*_key.pub", name).splitlines():
            lines += f"{environment.lab.address(name)} {' '.join(key.split()[:2])}\n"
    known.write_text(lines)
    # Each host names the other alone, as a person would: a host's own address is no peer.
    environment.write(
        hosts=hosts, ssh={**environment.settings["ssh"], "known_hosts": str(known)}, vm={"peers": ["web2"]}
    )
    try:
        environment.fab("setup", "--restart")
        yield
    finally:
        environment.write()
        environment.fab("setup", "--restart")


def test_with_peers_no_other_user_of_a_peers_host_connects_to_a_node(
    environment: LabEnvironment, tmp_path: Path
) -> None:
    with peers(environment, tmp_path):
        to = {host: (environment.lab.address(host), DIST[slot(environment, host)]) for host in (HOST, "web2")}
        got = {
            (user, protocol, there, here): health_parameters(environment, user, protocol, *to[there], host=here)
            for user in (VISITOR, "deploy", "nobody")
            for protocol in (6, 262)
            for there, here in ((HOST, HOST), (HOST, "web2"), ("web2", "web2"))
        }
        allowed = [health_parameters(environment, user, 6, *to[HOST], host="web2") for user in ("hello", "root")]
        address, port = to[HOST]
        beyond = environment.lab.ssh(
            "build1", f"timeout 4 bash -c '</dev/tcp/{address}/{port}'", check=False
        ).returncode

    assert {key: said for key, said in got.items() if said == "connected"} == {}
    assert allowed == ["connected", "connected"]
    assert beyond != 0


# The state of versions before 8 of the privileged helper, which started an instance by the start script itself.
BEFORE = f"""
sed -i '1s/.*/# The cookie of the nodes./; s/^RELEASE_COOKIE=.*/RELEASE_COOKIE=Old{{0}}/' {COOKIE}
mkdir -p /etc/systemd/system/hello@.service.d
cat >/etc/systemd/system/hello@.service.d/before.conf <<'X'
[Service]
ExecStart=
ExecStart=/opt/acme/hello/slots/%i/bin/hello start
X
systemctl daemon-reload
"""
NOW = "rm -r /etc/systemd/system/hello@.service.d; systemctl daemon-reload"


def running_cookie(environment: LabEnvironment, host: str) -> str:
    """The cookie that the running node itself says it has."""
    return environment.fab("rpc", "Node.get_cookie()", "--host", host).stdout.strip().removeprefix(":").strip('"')


def test_a_cookie_from_the_version_before_is_replaced_and_told_beforehand(environment: LabEnvironment) -> None:
    old = "Old" + "x" * 40
    for host in (HOST, "web2"):
        root(environment, BEFORE.replace("{0}", "x" * 40), host)
        root(environment, f"systemctl restart hello@{slot(environment, host)}", host)
    environment.fab("start")
    for host in (HOST, "web2"):
        root(environment, NOW, host)
    # That is how it was: in the arguments of the instance, which is reached all the same until it is restarted.
    assert old in root(environment, "ps -u hello -o args=")
    assert root(environment, f"ls /run/hello-{slot(environment)}/cookie 2>&1", check=False).startswith(
        "ls: cannot access"
    )
    assert running_cookie(environment, HOST) == old

    why = "the cookie, which every local user could read until now"
    checked = environment.fab("setup", "--check", expect=5).stderr
    assert f"web1: would change: {why}, replaced by a new one on all hosts" in checked
    assert "web1: would need a restart of the app, for" in checked
    assert cookie(environment) == old

    narrowed = environment.fab("-H", "web1", "setup").stderr
    assert f"web1: warning: {why}, stays: -H leaves out web2" in narrowed
    assert cookie(environment) == old

    said = environment.fab("setup").stderr
    assert f"web2: changing: {why}, replaced by a new one on all hosts" in said
    assert "the app still runs with its old settings (/etc/acme/hello/cookie.env)" in said
    new = cookie(environment)
    assert new == cookie(environment, "web2") != old
    assert running_cookie(environment, HOST) == old

    # One that was not reached then joins what the others have by now.
    root(environment, BEFORE.replace("{0}", "x" * 40), "web2")
    root(environment, NOW, "web2")
    assert f"web2: changing: {why}, replaced by that of the other hosts" in environment.fab("setup", "--restart").stderr
    assert cookie(environment) == cookie(environment, "web2") == new
    assert [running_cookie(environment, host) for host in (HOST, "web2")] == [new, new]
    assert why not in environment.fab("setup").stderr
    assert cookie(environment) == new
    assert old not in root(environment, "ps -u hello -o args=") + root(
        environment, "cat /proc/[0-9]*/environ 2>/dev/null"
    )


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("rel/vm.args.eex", "+S 4\n-setcookie known\n", "the release sets a cookie of its own"),
        ("rel/env.sh.eex", 'export ERL_ZFLAGS="-setcookie known"\n', "the release sets a cookie of its own"),
        (
            "rel/overlays/bin/hello",
            "#!/bin/sh\nexec erl -setcookie known\n",
            "does not hand over the cookie as Mix's own",
        ),
    ],
)
def test_a_release_that_shows_a_cookie_is_not_built(
    environment: LabEnvironment, file: str, text: str, said: str
) -> None:
    head = environment.git("rev-parse", "HEAD")
    path = environment.source / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    try:
        environment.commit("a cookie of its own")
        assert said in environment.fab("build-on-host", expect=4).stderr
    finally:
        environment.git("reset", "-q", "--hard", head)


# A check of the build's text does not find this; the VM's own arguments show it.
HIDDEN_COOKIES = {
    "a file that vm.args includes": {
        "rel/vm.args.eex": "-args_file bin/more.args\n",
        "rel/overlays/bin/more.args": "-setcookie known\n",
    },
    "a word that the shell puts together": {"rel/env.sh.eex": "export ERL_ZFLAGS='-set''cookie known'\n"},
}


@pytest.mark.parametrize("what", HIDDEN_COOKIES)
def test_a_release_that_hides_its_cookie_from_the_build_does_not_become_live(
    environment: LabEnvironment, what: str
) -> None:
    head = environment.git("rev-parse", "HEAD")
    before = environment.status()
    try:
        for file, text in HIDDEN_COOKIES[what].items():
            path = environment.source / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        environment.commit(f"a cookie in {what}")
        failed = environment.fab("deploy", expect=4)
    finally:
        environment.git("reset", "-q", "--hard", head)
        environment.git("clean", "-q", "-d", "--force")

    assert (
        "it has a cookie of its own in its arguments (-setcookie), which every user of the host can read"
        in failed.stderr
    )
    after = environment.status()
    assert {host: (row["release"], row["health"]) for host, row in after.items()} == {
        host: (row["release"], "healthy") for host, row in before.items()
    }
    assert "-setcookie" not in root(environment, "ps -u hello -o args=")


def test_doctor_finds_a_cookie_in_the_arguments_of_what_runs(environment: LabEnvironment) -> None:
    slot = environment.status()[HOST]["slot"]
    with drop_in(environment.lab, HOST, 'ExecStart=\nExecStart=/usr/bin/perl -e "sleep 600" -- -setcookie known'):
        root(environment, f"systemctl restart hello@{slot}")
        said = environment.fab("-H", HOST, "doctor", expect=None).stdout
    root(environment, f"systemctl restart hello@{slot}")

    assert "the arguments of the running app show one to every user of the host" in said
    environment.fab("restart")
    assert "the arguments of the running app show" not in environment.fab("-H", HOST, "doctor", expect=None).stdout
