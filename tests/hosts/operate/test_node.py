"""The running instance: rpc, eval, status, stop, start, restart."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.background import eventually
from tests.environment import PROJECT, LabEnvironment
from tests.hosts.terminal import ask, console, exit_status, terminal
from tests.unit_drop_in import drop_in
from warpbeam.error import AMISS, REFUSED
from warpbeam.helper.program import MOST_EXPRESSION

AWKWARD = """{"it's", ~s("quoted"), "$(id) `id` \\\\ %s é漢",
  :second_line}"""


def test_rpc_prints_the_value_of_an_expression_on_the_live_node(environment: LabEnvironment) -> None:
    live = environment.status()

    assert environment.fab("rpc", "1 + 1").stdout == "2\n"
    assert environment.fab("rpc", "-", "--host", "web2", stdin="System.pid()\n").stdout == f'"{live["web2"]["pid"]}"\n'
    assert (
        environment.fab("rpc", AWKWARD).stdout == '{"it\'s", "\\"quoted\\"", "$(id) `id` \\\\ %s é漢", :second_line}\n'
    )
    everywhere = environment.fab("rpc", "--all", "System.pid()").stdout.splitlines()
    # Each host's as it answers.
    assert sorted(everywhere) == [f'{host} | "{row["pid"]}"' for host, row in live.items()]


def test_a_value_of_many_lines_is_printed_whole(environment: LabEnvironment) -> None:
    printed = environment.fab("rpc", "Enum.to_list(1..20_000)").stdout

    assert json.loads(printed) == list(range(1, 20_001))


@pytest.mark.parametrize("verb", ["rpc", "eval"])
def test_an_expression_that_raises_ends_with_its_status_and_says_why(environment: LabEnvironment, verb: str) -> None:
    raised = environment.fab(verb, 'raise "the reason"', expect=1)
    assert "the reason" in raised.stderr
    assert f"error: web1: {verb} ended with status 1" in raised.stderr
    assert "erl_eval" not in raised.stderr
    assert "missing terminator" in environment.fab(verb, "(", expect=1).stderr


@pytest.mark.parametrize("verb", ["rpc", "eval"])
def test_an_expression_as_long_as_may_be_is_evaluated_and_a_longer_one_is_refused(
    environment: LabEnvironment, verb: str
) -> None:
    quoted = '"' + (MOST_EXPRESSION - len('"" |> byte_size()')) * "x" + '" |> byte_size()'

    assert int(environment.fab(verb, "-", stdin=quoted).stdout) == MOST_EXPRESSION - len('"" |> byte_size()')
    refused = environment.fab(verb, "-", stdin=quoted + " ", expect=2)
    assert f"expected an expression of at most {MOST_EXPRESSION} bytes on standard input" in refused.stderr
    # One that never ends is not waited for; and the helper looks for itself.
    endless = subprocess.run(
        ["bash", "-c", f"yes | {shlex.join(environment.argv(verb, '-'))}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
        env=environment.environ,
    )
    assert (endless.returncode, endless.stdout) == (2, ""), endless.stderr
    assert f"at most {MOST_EXPRESSION} bytes" in endless.stderr


def test_what_rpc_prints_is_heard_while_it_runs(environment: LabEnvironment) -> None:
    with terminal(environment, "rpc", "for n <- 1..3, do: (IO.puts(n); :timer.sleep(500))") as child:
        on_stdout = []
        for number in ("1", "2", "3"):
            child.expect_exact(f"{number}\r\n")
            on_stdout.append(time.monotonic())
        assert exit_status(child) == 0
    assert on_stdout[2] - on_stdout[0] > 0.8


def test_rpc_and_eval_refuse_what_says_two_things(environment: LabEnvironment) -> None:
    assert "give one of them" in environment.fab("rpc", "1", "--all", "--host", "web1", expect=2).stderr
    assert "the hosts are web1, web2" in environment.fab("eval", "1", "--host", "web3", expect=2).stderr


def test_eval_has_the_services_environment_even_while_the_app_is_stopped(
    environment: LabEnvironment,
) -> None:
    expression = '{System.get_env("GREETING"), node(), System.get_env("RELEASE_VSN"), System.pid()}'
    live = environment.status()["web1"]

    said = environment.fab("eval", expression).stdout
    assert said.startswith(f'{{"good morning", :nonode@nohost, "{live["version"]}", ')
    assert f'"{live["pid"]}"' not in said

    environment.fab("-H", "web1", "stop")
    try:
        assert environment.fab("eval", AWKWARD).stdout.startswith('{"it\'s", ')
        stopped = environment.fab("rpc", "1", expect=2)
        assert "is not running: `fab stage start` starts it" in stopped.stderr
    finally:
        environment.fab("-H", "web1", "start")


def test_ctrl_c_ends_an_evaluation_on_the_host_too(environment: LabEnvironment) -> None:
    for verb in ("rpc", "eval"):
        with terminal(environment, verb, 'IO.puts("it began"); :timer.sleep(:infinity)') as child:
            child.expect_exact("it began")
            child.sendintr()
            assert exit_status(child) == 130
    wait = "for i in $(seq 30); do pgrep -f '[R]EAD_AND|[e]val_string' || exit 0; sleep 0.1; done; exit 1"
    assert environment.lab.ssh("web1", wait, check=False).returncode == 0, "a VM is still there"


def test_status_fits_a_screen_of_80_columns_and_shows_every_column(environment: LabEnvironment) -> None:
    with terminal(environment, "status", columns=80) as child:
        shown = child.read()

    # Where hosts take their time, the screen shows meanwhile which are waited for, and takes that back.
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    assert max(map(len, lines)) <= 80
    for word in ("release", "pid", "since", "memory", "restarts", "health", "healthy"):
        assert word in shown


def test_status_tells_of_a_killed_vm_and_of_a_dead_host_in_plain_words(environment: LabEnvironment) -> None:
    before = environment.status()["web1"]
    environment.write(ssh={**environment.settings["ssh"], "connect_timeout": 2})
    environment.lab.ssh("web1", f"sudo kill -9 {before['pid']}")
    environment.lab.crash("web2")
    try:
        told = environment.fab("status", "--json", expect=None)
        # Depends on whether systemd has started web1's app again by then.
        assert told.returncode in (REFUSED, AMISS)
        row, dead = json.loads(told.stdout)
        for _ in range(20):
            if row["pid"] not in (0, before["pid"]):
                break
            time.sleep(0.2)
            row = json.loads(environment.fab("-H", "web1", "status", "--json", expect=None).stdout)[0]
        assert row["pid"] not in (0, before["pid"])
        assert row["restarts"] == before["restarts"] + 1
        # An instance that has just crashed is not healthy yet, whatever it answers.
        assert row["health"].startswith("it ended by itself")
        assert set(dead) == {"host", "problem"}
        shown = environment.fab("status", expect=None)
        assert shown.returncode in (REFUSED, AMISS)
        text = shown.stdout
        # The kernel may have given up asking for the address of the dead host by now.
        assert re.search(r"^web2: (did not answer within 2 s|cannot be reached: No route to host)$", text, re.MULTILINE)
    finally:
        environment.write()
        environment.lab.boot("web2")
    # A host that comes back serves what was live.
    environment.fab("-H", "web2", "start")
    assert environment.served("web2", "/health").strip() == "ok"


def test_where_no_app_host_is_chosen_there_is_nothing_to_tell_and_that_is_said(environment: LabEnvironment) -> None:
    for words in (
        ["status"],
        ["releases"],
        ["history"],
        ["logs"],
        ["rpc", "1"],
        ["rpc", "1", "--all"],
        ["firewall.status"],
        ["secrets.list"],
    ):
        refused = environment.fab("-H", "build1", *words, expect=2)
        assert "no chosen host has the role app" in refused.stderr, words


def test_what_is_stopped_stays_stopped_until_start_or_a_reboot(environment: LabEnvironment) -> None:
    done = environment.fab("stop")
    assert "is stopped, until `start` or a reboot" in done.stderr

    for row in environment.status().values():
        assert (row["pid"], row["version"] != "") == (0, True)
        assert row["problem"].startswith("it is live, but does not run")
        assert row["health"] == "no answer"
    environment.lab.crash("web2")
    environment.lab.boot("web2")
    assert "runs, healthy" in environment.fab("start").stderr
    assert environment.served("web2", "/health").strip() == "ok"
    assert environment.served("web1", "/health").strip() == "ok"


def test_start_takes_an_instance_that_kept_failing_once_the_cause_is_mended(environment: LabEnvironment) -> None:
    # The pause between two tries is as long as a person needs to start it.
    with drop_in(environment.lab, "web1", "ExecStartPre=/bin/false\nRestartSec=4"):
        environment.fab("-H", "web1", "stop")
        failed = environment.fab("-H", "web1", "start", expect=4)
        counted = "systemctl show -P NRestarts hello@a hello@b | grep -qx '[2-9]'"
        assert eventually(lambda: environment.lab.ssh("web1", counted, check=False).returncode == 0)

    started = environment.fab("-H", "web1", "start")

    assert "did not start" in failed.stderr
    assert "runs, healthy" in started.stderr


def test_restart_gives_every_host_a_new_process_of_the_same_release(environment: LabEnvironment) -> None:
    before = environment.status()

    environment.fab("restart")

    for host, row in environment.status().items():
        assert row["release"] == before[host]["release"]
        assert row["pid"] != before[host]["pid"]
        assert row["health"] == "healthy"
        assert environment.served(host)["pid"] == row["pid"]


class Watch(threading.Thread):
    """Looks at every argument list on this machine and on its hosts, which are its processes too."""

    def __init__(self, secret: str) -> None:
        super().__init__(daemon=True)
        self.secret = secret.encode()
        self.seen: set[bytes] = set()
        self.looks = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.looks += 1
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = file.read_bytes()
                except OSError:
                    continue
                if self.secret in line:
                    self.seen.add(line)


def test_a_secret_is_seen_by_the_app_and_by_nobody_else(environment: LabEnvironment) -> None:
    secret = f"{secrets.token_hex(8)} $(id) \"'\\ é"
    digest = hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()
    proof = 'Base.encode16(:erlang.md5(System.get_env("API_TOKEN")), case: :lower)'
    variables = {"THEIR_TOKEN": secret}
    environment.write(secrets={"API_TOKEN": {"env": "THEIR_TOKEN"}})
    said: list[subprocess.CompletedProcess[str]] = []
    watch = Watch(secret)
    watch.start()
    try:
        said.append(environment.fab("--echo", "setup", inventory="stage", variables=variables))
        debugged = [environment.argv()[0], "--echo", "-d", "stage", "setup", "restart"]
        said.append(
            subprocess.run(
                debugged,
                capture_output=True,
                text=True,
                check=False,
                cwd=PROJECT,
                env={**environment.environ, **variables},
            )
        )
        assert said[-1].returncode == 0
        said += [environment.fab("rpc", proof), environment.fab("eval", proof), environment.fab("status", "--json")]
        assert [done.stdout.strip('"\n') for done in said[2:4]] == [digest, digest]
        with console(environment) as child:
            ask(child, proof, digest)
        assert watch.looks > 20
        assert watch.seen == set()
        core = secret.split(maxsplit=1)[0]
        for done in said:
            assert core not in done.stdout + done.stderr
        needle = "/root/needle"
        for host in ("web1", "web2"):
            environment.lab.ssh(host, f"sudo sh -c 'umask 077; cat >{needle}'", stdin=core)
            journal = environment.lab.ssh(host, f"sudo journalctl --no-pager | sudo grep -cFf {needle}", check=False)
            assert journal.stdout.strip() == "0"
            found = environment.lab.ssh(
                host,
                "sudo find /etc /opt /run /tmp /var /home /usr/lib/warpbeam /lib/systemd/system -xdev -type f"
                f" -size -4M -print0 | sudo xargs -0 grep -lFf {needle}; sudo rm {needle}",
                check=False,
            ).stdout.split()
            assert found == ["/etc/acme/hello/secrets.env"]
            assert environment.lab.ssh(host, f"sudo stat -c '%a %U' {found[0]}").stdout == "600 root\n"
    finally:
        watch.over.set()
        environment.write()
        environment.fab("setup")


def test_a_signal_from_outside_is_an_interrupt_too(environment: LabEnvironment) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        with terminal(environment, "rpc", 'IO.puts("it began"); :timer.sleep(:infinity)') as child:
            child.expect_exact("it began")
            child.kill(number)
            child.expect_exact("interrupted")
            assert exit_status(child) == 130
