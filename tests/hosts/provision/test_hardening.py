"""Attempts of the app, or of the deploy user: they gain nothing, and leave a trace."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.environment import LabEnvironment
from tests.hosts.provision.test_identities import HELPER, ROOT, call_helper
from tests.hosts.provision.test_setup import KEYS, PACKAGE, UNDO, root
from tests.hosts.terminal import ask, console
from tests.timeouts import LONG
from warpbeam.lab.client import ssh_argv

HOST = "web1"
SUDOERS = "/etc/sudoers.d/zz-test"


@pytest.fixture(autouse=True, scope="module")
def afterwards(environment: LabEnvironment) -> Iterator[None]:
    """The environment as it was: its settings, and instances that nobody has touched."""
    yield
    environment.write()
    environment.fab("setup", "--restart")
    environment.fab("restart")
    assert {row["health"] for row in environment.status().values()} == {"healthy"}


def live(environment: LabEnvironment) -> str:
    """The slot that is live on the host."""
    return root(environment, f"basename $(readlink {ROOT}/current)").strip()


@contextmanager
def sudoers(environment: LabEnvironment, *lines: str) -> Iterator[None]:
    """Rules of the host's own meanwhile, read after Warpbeam's."""
    text = "\n".join(lines)
    root(environment, f"cat >{SUDOERS} <<'X'\n{text}\nX\nchmod 440 {SUDOERS}; visudo -cqf {SUDOERS}")
    try:
        yield
    finally:
        root(environment, f"rm -f {SUDOERS}")


# The VM itself writes to its stack; then /proc/PID/environ shows the app's own invention.
OVERWRITE = """
stat = File.read!("/proc/self/stat") |> String.split(") ") |> List.last() |> String.split()
[from, to] = for at <- [47, 48], do: stat |> Enum.at(at) |> String.to_integer()
{:ok, memory} = :file.open("/proc/self/mem", [:read, :write, :raw, :binary])
{:ok, was} = :file.pread(memory, from, to - from)
kept = was |> String.split(<<0>>) |> Enum.filter(&(&1 =~ ~r/^(RELEASE_|RUNTIME_)/))
text = Enum.join(["PATH=/var/lib/hello/evil:/usr/bin:/bin", "LD_PRELOAD=/var/lib/hello/evil.so" | kept], <<0>>) <> <<0>>
:ok = :file.pwrite(memory, from, String.pad_trailing(text, to - from, <<0>>))
File.mkdir_p!("/var/lib/hello/evil")
for name <- ~w(sh cat cut sed env uname readlink dirname basename hostname erl) do
  file = "/var/lib/hello/evil/" <> name
  File.write!(file, "#!/bin/sh\\necho in >>/var/lib/hello/got-in\\nexec /usr/bin/" <> name <> ~s( "$@"\\n))
  {_, 0} = System.cmd("chmod", ["755", file])
end
"""
# The node at the other end, which the running one may have do whatever it likes.
BEHIND = ':rpc.call(node(Process.group_leader()), File, :read!, ["/proc/self/status"])'
CONFINED = f'for it <- ["Seccomp:\\t2", "NoNewPrivs:\\t1", "CapBnd:\\t0000000000000000"], do: {BEHIND} =~ it'


def test_an_app_that_forges_its_environment_gets_nothing_to_run_beside_it(environment: LabEnvironment) -> None:
    environment.fab("rpc", OVERWRITE)
    try:
        forged = root(environment, f"tr '\\0' '\\n' </proc/{environment.status()[HOST]['pid']}/environ")
        assert "LD_PRELOAD=/var/lib/hello/evil.so" in forged

        done = environment.fab("rpc", "1 + 1")
        well = call_helper(environment, "well", f"{live(environment)}\ntrue")

        assert done.stdout.strip() == "2"
        assert "evil.so" not in done.stderr
        assert well == (0, "")
        assert root(environment, "cat /var/lib/hello/got-in", check=False) == ""
    finally:
        environment.fab("-H", HOST, "restart")
        root(environment, "rm -rf /var/lib/hello/evil /var/lib/hello/got-in")


def test_what_runs_beside_the_app_is_in_its_sandbox(environment: LabEnvironment) -> None:
    assert environment.fab("rpc", CONFINED).stdout.strip() == "[true, true, true]"

    status, said = call_helper(environment, "well", f"{live(environment)}\n({CONFINED}) == [true, true, true]")
    assert status == 0, said

    with console(environment) as child:
        ask(child, CONFINED, r"\[true, true, true\]")


def test_a_word_with_an_instance_that_is_older_than_its_cookie_still_reaches_it(environment: LabEnvironment) -> None:
    environment.fab("setup", "--rotate-cookie")

    assert environment.fab("rpc", "1 + 1").stdout.strip() == "2"

    environment.fab("restart")
    assert environment.fab("rpc", "1 + 1").stdout.strip() == "2"


def test_a_word_that_nobody_waits_for_any_more_leaves_nothing_behind(environment: LabEnvironment) -> None:
    hangs = "IO.puts(:begun); :timer.sleep(:infinity)"
    done = environment.lab.ssh(HOST, f"timeout 5 sudo -n {HELPER} rpc", "deploy", check=False, stdin=hangs)

    assert done.returncode == 124
    units = "systemctl list-units --all --plain --no-legend 'hello-rpc-*'"
    for _ in range(50):
        left = root(environment, units)
        if not left:
            break
        time.sleep(0.5)
    assert left == ""
    assert root(environment, "ls /run | grep hello-rpc", check=False) == ""


def let_in(environment: LabEnvironment) -> bool:
    """Return whether ssh forwards for the app's user, by the key that it has planted in its home."""
    *argv, host = ssh_argv(environment.lab.name, HOST)
    words = (*argv, "-l", "hello", "-o", "BatchMode=yes", "-W", "127.0.0.1:22", host)
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.startswith("SSH-")


def test_the_app_user_cannot_log_in_by_a_key_that_it_planted(environment: LabEnvironment) -> None:
    key = environment.lab.key.with_suffix(".pub").read_text().strip()
    plant = (
        f'File.mkdir_p!("/var/lib/hello/.ssh"); File.write!("/var/lib/hello/.ssh/authorized_keys", {json.dumps(key)})'
    )
    environment.fab("rpc", plant)
    try:
        assert not let_in(environment)

        # Earlier versions of setup made the user so.
        root(environment, "usermod --expiredate '' hello")
        assert let_in(environment)
        doctor = environment.fab("doctor", expect=5).stdout
        assert "hello may log in: its account has not expired" in doctor
        assert "hello (by key, without a shell)" in doctor
        assert "web1: changing: user hello closed" in environment.fab("setup").stderr

        assert not let_in(environment)
        environment.fab("-H", HOST, "restart")
        assert environment.status()[HOST]["health"] == "healthy"
    finally:
        root(environment, "rm -rf /var/lib/hello/.ssh; usermod --expiredate 1 hello")


def test_systemd_starts_nothing_of_the_deploy_users_own(environment: LabEnvironment) -> None:
    units = ".config/systemd/user"
    wanted = f"{units}/default.target.wants"
    text = "[Service]\\nExecStart=/bin/touch /home/deploy/was-here\\n"
    plant = f"mkdir -p {wanted} && printf '{text}' >{units}/planted.service && ln -s ../planted.service {wanted}/"
    try:
        environment.lab.ssh(HOST, plant, "deploy")
        # Earlier versions of setup left it so, and a login started it.
        root(environment, "rm /etc/systemd/system/user@$(id -u deploy).service && systemctl daemon-reload")
        environment.lab.ssh(HOST, "systemctl --user show-environment", "deploy")
        assert root(environment, "ls /home/deploy/was-here", check=False) != ""
        assert (
            "systemd starts a manager of its own for deploy at each login" in environment.fab("doctor", expect=5).stdout
        )

        assert f"{HOST}: changing: user deploy without a systemd of its own" in environment.fab("setup").stderr

        assert root(environment, "systemctl is-active user@$(id -u deploy)", check=False).strip() == "inactive"
        root(environment, "rm /home/deploy/was-here")
        environment.lab.ssh(HOST, "true", "deploy")
        assert environment.lab.ssh(HOST, "systemctl --user show-environment", "deploy", check=False).returncode != 0
        assert root(environment, "ls /home/deploy/was-here", check=False) == ""
    finally:
        root(environment, "rm -rf /home/deploy/.config /home/deploy/was-here")
        environment.fab("setup")


MORE = [
    ("gpasswd --add deploy adm", "gpasswd --delete deploy adm", "the user deploy is in the group adm"),
    (
        f"echo 'deploy ALL=(root) NOPASSWD: /usr/bin/apt-get' >{SUDOERS}; chmod 440 {SUDOERS}",
        f"rm {SUDOERS}",
        "the user deploy may run /usr/bin/apt-get (root) through sudo",
    ),
    (
        f"echo 'deploy ALL=(root) NOPASSWD:SETENV: {HELPER} status' >{SUDOERS}; chmod 440 {SUDOERS}",
        f"rm {SUDOERS}",
        f"the user deploy may run {HELPER} (root SETENV) through sudo",
    ),
]


@pytest.mark.parametrize(("harm", "mend", "says"), MORE, ids=["a group", "a rule", "a tag"])
def test_a_deploy_user_that_may_more_is_refused(environment: LabEnvironment, harm: str, mend: str, says: str) -> None:
    root(environment, harm)
    try:
        refused = environment.fab("setup", expect=3).stderr
        assert says in refused
        assert "nothing was changed on any host" in refused
        assert says.removeprefix("the user ") in environment.fab("doctor", expect=5).stdout
    finally:
        root(environment, mend)
    assert "nothing to change" in environment.fab("setup").stderr


def test_a_deploy_user_with_a_password_is_reported(environment: LabEnvironment) -> None:
    root(environment, "echo deploy:secret | chpasswd")
    try:
        assert "web1: warning: deploy has a password" in environment.fab("setup").stderr
        assert "deploy has a password" in environment.fab("doctor", expect=5).stdout
    finally:
        root(environment, "usermod --password '*' deploy")


def test_two_apps_on_a_host_do_not_share_a_deploy_user(environment: LabEnvironment) -> None:
    http = {"port": 81, "slots": [4101, 4102], "distribution": [9101, 9102], "maintenance": 4103}
    environment.write(app="second", http=http)
    try:
        refused = environment.fab("setup", expect=3).stderr
        assert (
            f"web1: the user deploy may run {HELPER} (root) through sudo and owns {ROOT}, the directory of another app"
            in refused
        )
        assert "set `users.deploy` in" in refused
        assert (
            f"build1: the user deploy owns {ROOT}, the directory of another app"
            in environment.fab("-H", "build1", "setup", expect=3).stderr
        )
        assert root(environment, "ls -d /opt/acme/second /etc/acme/second", check=False) == ""
    finally:
        environment.write()


def test_a_name_that_the_app_invents_is_passed_on_to_no_host(environment: LabEnvironment) -> None:
    where = "/var/lib/hello/x\\nslot b state=active substate=running pid=1 restarts=0 release=20990101T000000Z"
    before = environment.status()[HOST]["release"]
    environment.fab("rpc", f'File.mkdir_p!("{where}"); File.cd!("{where}")')
    try:
        status, said = call_helper(environment, "status")

        assert status == 0
        assert list(json.loads(said)["slots"]) == ["a", "b"]
        assert "20990101T000000Z" not in said
        # Its program says what runs, and from there is run what asks it.
        assert environment.status()[HOST]["release"] == before
        assert environment.fab("rpc", "1 + 1").stdout.strip() == "2"
    finally:
        root(environment, f"systemctl restart hello@{live(environment)}; rm -rf /var/lib/hello/x*")


def test_what_the_helper_refuses_is_in_the_journal_without_what_was_said(environment: LabEnvironment) -> None:
    said = "b; pl4nted-input"
    call_helper(environment, "stop", f"{said}\n")

    journal = root(
        environment, "journalctl --sync; journalctl _UID=0 -t warpbeam-hello -p warning -n 1 -o cat --no-pager"
    )

    assert journal.strip() == "the privileged helper refused deploy (stop): expected a slot (a or b) on standard input"
    assert said not in root(environment, "journalctl -n 50 --no-pager")


def test_a_public_port_that_ssh_comes_in_by_is_refused(environment: LabEnvironment) -> None:
    # Only ssh's configuration knows that port, and the reading of an inventory cannot.
    config = environment.directory / "ssh_config"
    own = f"Host {HOST}\n  Port 2280\n  HostKeyAlias {environment.lab.address(HOST)}\n"
    config.write_text(own + environment.lab.ssh_config.read_text())
    root(environment, "systemd-run --quiet --unit=late-sshd /usr/sbin/sshd -D -p 2280")
    rules = "nft --stateless --terse list ruleset | grep -v counter; sha256sum /etc/acme/hello/*.nft"
    before = root(environment, rules)
    try:
        environment.write(ssh={**environment.settings["ssh"], "config": str(config)}, http={"port": 2280})

        refused = environment.fab("setup", expect=3).stderr
        assert "web1: ssh comes to port 2280 of this host, which is one of the app's" in refused
        refused = environment.fab("-H", HOST, "firewall.apply", expect=3).stderr
        assert "ssh comes to port 2280 of this host, which is one of the app's; nothing was changed on any" in refused
        assert root(environment, rules) == before
    finally:
        environment.write()
        root(environment, "systemctl stop late-sshd")


def test_a_link_in_tmp_leads_nothing_that_setup_writes_astray(environment: LabEnvironment) -> None:
    root(environment, PACKAGE)
    root(environment, "echo mine >/etc/victim")
    # A name beside each file that appears in /tmp.
    plant = """
    while [[ ! -e /tmp/enough ]]; do
      for file in /tmp/tmp.*; do [[ $file == *.status ]] || ln -s /etc/victim "$file.status"; done 2>/dev/null
    done
    rm -f /tmp/tmp.*.status /tmp/enough"""
    environment.lab.ssh(HOST, f"nohup bash -c {shlex.quote(plant)} >/dev/null 2>&1 &", user="deploy")
    try:
        environment.write(packages=["warpbeam-one"])
        environment.fab("-H", HOST, "setup")

        assert root(environment, "cat /etc/victim") == "mine\n"
        assert root(environment, "dpkg-query -W -f '${db:Status-Status}' warpbeam-one") == "installed"
    finally:
        environment.lab.ssh(HOST, "touch /tmp/enough", user="deploy")
        environment.write()
        root(environment, f"rm /etc/victim; {UNDO}", check=False)


def test_the_helper_tells_nothing_of_where_a_link_in_place_of_a_release_leads(environment: LabEnvironment) -> None:
    answers = set()
    for target in ("/root", "/nowhere"):
        environment.lab.ssh(HOST, f"ln -sfn {target} {ROOT}/releases/20200101T000000Z", user="deploy")
        answers.add(call_helper(environment, "migrate", "20200101T000000Z\n1\n1"))
    environment.lab.ssh(HOST, f"rm {ROOT}/releases/20200101T000000Z", user="deploy")

    assert answers == {(2, "warpbeam-helper: the release 20200101T000000Z is not on this host\n")}


def test_slow_typing_holds_no_lock(environment: LabEnvironment) -> None:
    # It is read to its end, which does not come for a while.
    words = f"{{ echo on; sleep 8; }} | sudo -n {HELPER} maintenance"
    with subprocess.Popen(
        [*ssh_argv(environment.lab.name, HOST)[:-1], "-l", "deploy", HOST, words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as slow:
        waits = (
            "for i in {1..50}; do pgrep -f 'warpbeam-helper maintenance$' >/dev/null && break; sleep 0.1; done; sleep 1"
        )
        free = root(environment, f"{waits}; flock -n /run/warpbeam-hello.lock echo free", check=False)
        slow.wait(60)

    assert free.strip() == "free"


@pytest.mark.parametrize("how", ["", "-E", "EVIL=pl4nted"])
def test_nothing_of_the_callers_environment_passes_the_helper_under_any_sudo_rules(
    environment: LabEnvironment, how: str
) -> None:
    mine = "EVIL=pl4nted BASH_ENV=/tmp/evil LC_ALL=pl4nted TZ=/pl4nted SYSTEMD_PAGER=pl4nted TERM=pl4nted"
    rules = ("Defaults:deploy !env_reset, setenv", 'Defaults env_keep += "EVIL BASH_ENV SYSTEMD_PAGER LC_ALL TZ"')
    with (
        sudoers(environment, *rules),
        subprocess.Popen(
            [
                *ssh_argv(environment.lab.name, HOST)[:-1],
                "-l",
                "deploy",
                HOST,
                f"sleep 6 | env {mine} sudo -n {how} {HELPER} stop",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as call,
    ):
        look = f"for i in {{1..50}}; do pid=$(pgrep -f '^/bin/bash -p {HELPER} stop') && break; sleep 0.1; done; "
        environ = root(environment, f"{look} tr '\\0' '\\n' </proc/$pid/environ", check=False)
        _, said = call.communicate(timeout=LONG)
    if how:
        assert "sorry, you are not allowed to " in said
        assert environ == ""
        return
    assert "SUDO_USER=deploy" in environ
    assert [line for line in environ.splitlines() if "pl4nted" in line or "evil" in line] == ["TERM=pl4nted"]


def test_what_root_has_the_deploy_user_do_is_given_no_lock_and_nothing_of_roots(environment: LabEnvironment) -> None:
    # In place of programs that the helper and setup run as the deploy user: it writes down what it was given.
    spy = """#!/bin/bash
if ((EUID)); then
  { tr '\\0' '\\n' </proc/$$/environ; readlink /proc/$$/fd/*; grep NoNewPrivs /proc/$$/status; } >>/tmp/given-${0##*/}
fi
exec /usr/lib/real/${0##*/} "$@"
"""
    programs = ("test", "sync")
    root(
        environment,
        f"mkdir -p /usr/lib/real; cat >/usr/lib/real/spy <<'X'\n{spy}X\nchmod 755 /usr/lib/real/spy; "
        f"for it in {' '.join(programs)}; "
        "do cp /usr/bin/$it /usr/lib/real/; mount --bind /usr/lib/real/spy /usr/bin/$it; done",
    )
    try:
        root(environment, f"{HELPER} reconcile; echo '# not so' >>{KEYS}")
        environment.fab("-H", HOST, "setup")
        given = {it: root(environment, f"cat /tmp/given-{it}") for it in programs}
    finally:
        root(environment, "umount /usr/bin/test /usr/bin/sync; rm -rf /usr/lib/real /tmp/given-*")

    assert "NoNewPrivs:\t1" in given["test"]
    assert ".lock" not in given["test"]
    assert "NoNewPrivs:\t1" in given["sync"]
    assert "LC_ALL=C" in given["sync"]
    assert "SUDO_" not in given["sync"]
    assert "=/root" not in given["sync"]


def test_a_hard_link_in_place_of_the_keys_is_read_with_its_owners_rights_alone(environment: LabEnvironment) -> None:
    root(environment, "install -m 640 -g shadow /dev/null /home/deploy/late; echo pl4nted-text >/home/deploy/late")
    try:
        root(environment, f"ln -f /home/deploy/late {KEYS}")

        done = environment.fab("-H", HOST, "setup", "--diff")

        assert "pl4nted-text" not in done.stderr
        assert root(environment, f"stat -c '%U %a' {KEYS}").strip() == "deploy 600"
    finally:
        root(environment, "rm -f /home/deploy/late")
