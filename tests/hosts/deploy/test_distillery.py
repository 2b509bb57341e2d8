"""Releases that Distillery made: deployed, rolled back, asked, switched under load, beside releases that Mix made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.build_environment import last_manifest
from tests.distillery_twin import make_twin
from tests.environment import LabEnvironment
from tests.hosts import terminal
from tests.load.clients import load

HOST = "web1"
CONF = "/etc/acme/hello/hello.conf"


@pytest.fixture(scope="module")
def twin(environment: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment with the sample app's Distillery twin live; Mix's release is live again after it."""
    head = environment.git("rev-parse", "HEAD")
    # An earlier test's app may have `rel` files of its own.
    (environment.source / "rel" / "vm.args.eex").unlink(missing_ok=True)
    make_twin(environment)
    environment.version("7.1.0")
    on_host(environment, "deploy")
    yield environment
    environment.git("reset", "-q", "--hard", head)
    environment.git("clean", "-q", "-d", "--force")
    environment.write()
    environment.fab("setup")
    on_host(environment, "deploy", "--force")
    assert {row["health"] for row in environment.status().values()} == {"healthy"}


def on_host(environment: LabEnvironment, *words: str, expect: int = 0) -> str:
    """Run `fab` for HOST alone, which is enough here; return what it said."""
    return environment.fab("-H", HOST, *words, expect=expect).stderr


def version(environment: LabEnvironment) -> str:
    """The version of what runs on HOST, healthy."""
    row = environment.status()[HOST]
    assert row["health"] == "healthy"
    return str(row["version"])


def ask(environment: LabEnvironment, expression: str) -> str:
    return environment.fab("rpc", expression, "--host", HOST).stdout.strip()


def test_the_source_alone_says_that_distillery_makes_the_release(twin: LabEnvironment) -> None:
    manifest = last_manifest(twin)

    assert manifest.flavor == "distillery"
    kind = twin.lab.ssh(HOST, "cat /opt/acme/hello/current/.warpbeam/runtime", "deploy").stdout
    assert kind == "distillery\nhello\n"
    assert version(twin) == "7.1.0"


def test_a_rollback_leads_from_one_kind_of_release_to_the_other_and_back(twin: LabEnvironment) -> None:
    # The newest good release before the twin, which Mix made.
    before = next(row["version"] for row in twin.releases(HOST) if row["state"] == "healthy")
    twin.version("7.2.0")
    on_host(twin, "deploy")
    assert version(twin) == "7.2.0"
    assert ask(twin, "Application.spec(:hello, :vsn)") == "'7.2.0'"

    on_host(twin, "rollback")
    assert version(twin) == "7.1.0"
    on_host(twin, "rollback")
    assert version(twin) == before
    assert ask(twin, 'System.get_env("DISTILLERY_TASK")') == "nil"
    on_host(twin, "deploy")

    assert version(twin) == "7.2.0"
    assert ask(twin, 'System.get_env("DISTILLERY_TASK")') == '"foreground"'


def test_console_rpc_and_eval_of_such_a_release_are_those_of_any(twin: LabEnvironment) -> None:
    slot = twin.status()[HOST]["slot"]

    assert ask(twin, "node()") == f':"hello-{slot}@127.0.0.1"'
    assert twin.fab("rpc", "-", "--host", HOST, stdin="IO.puts(1 + 1)\n2 + 2").stdout == "2\n4\n"
    raised = twin.fab("rpc", 'raise "no such thing"', "--host", HOST, expect=1)
    assert "no such thing" in raised.stderr
    # A VM of its own, with the settings that the release would have, and the arguments of no other.
    own = twin.fab("eval", "Application.load(:hello); {node(), Application.get_env(:hello, :state_directory)}")
    assert own.stdout.strip() == '{:nonode@nohost, "/var/lib/hello"}'
    assert "no such thing" in twin.fab("eval", 'raise "no such thing"', expect=1).stderr
    with terminal.console(twin, "--host", HOST) as child:
        terminal.ask(child, "1 + 41", "42")
        terminal.ask(child, "Node.list(:hidden) |> length()", "1")


def test_what_the_release_writes_is_new_in_each_slot_and_with_each_start(twin: LabEnvironment) -> None:
    slot = twin.status()[HOST]["slot"]
    names = ("RELEASE_MUTABLE_DIR", "RUNNER_LOG_DIR", "VMARGS_PATH", "NAME", "REL_VSN", "REPLACE_OS_VARS")
    asked = f"for name <- ~w({' '.join(names)}), do: System.get_env(name)"

    own = f"/run/hello-{slot}/distillery"
    node = f"hello-{slot}@127.0.0.1"
    running = version(twin)
    expected = [own, f"{own}/log", f"{own}/vm.args", node, running, "true"]
    assert json.loads(ask(twin, asked)) == expected
    # The version that was started before (Distillery 2.1 never replaces this file).
    twin.lab.ssh(HOST, f"echo 1.0 0.0.1 | sudo tee {own}/start_erl.data")
    before = twin.status()[HOST]["pid"]
    twin.lab.ssh(HOST, f"sudo systemctl kill --signal=KILL hello@{slot} && sleep 4")
    assert twin.status()[HOST]["pid"] != before
    assert twin.status()[HOST]["version"] == running
    # Settings with values of the host in them are the app's alone.
    mode = f"sudo stat -c '%a %U' /run/hello-{slot}/distillery"
    assert twin.lab.ssh(HOST, mode).stdout.strip() == "700 hello"


def test_no_argument_of_a_vm_of_such_a_release_holds_a_cookie(twin: LabEnvironment) -> None:
    cookie = twin.lab.ssh(HOST, "sudo cat /etc/acme/hello/cookie.env").stdout
    secret = re.search(r"^RELEASE_COOKIE=(\w+)$", cookie, re.MULTILINE)
    assert secret is not None
    assert ask(twin, "Node.get_cookie()").strip(':"') == secret[1]
    # The artifact has none at all: the build has taken it out of vm.args.
    text = twin.lab.ssh(HOST, "cat /opt/acme/hello/current/releases/*/vm.args", "deploy").stdout
    assert "shown-to-all" not in text
    assert "+S 1:1" in text

    look = 'System.cmd("sh", ["-c", "cat /proc/[0-9]*/cmdline | tr \'\\\\0\' \' \'"]) |> elem(0) |> IO.puts()'
    # The app sees its own processes: the instance, and in `eval` that VM.
    seen = ask(twin, look) + twin.fab("eval", look).stdout
    shell = twin.lab.ssh(
        HOST,
        "sudo systemctl show --property=MainPID --value hello@a hello@b | while read -r pid; do "
        "[ -z \"$pid\" ] || [ \"$pid\" = 0 ] || sudo cat /proc/$pid/cmdline /proc/$pid/environ | tr '\\0' ' '; done",
    ).stdout
    assert "-boot" in seen
    assert "-args_file" not in shell.partition("-extra")[0] or "-name hello-" in shell
    for text in (seen, shell):
        assert secret[1] not in text
        assert "shown-to-all" not in text


def test_a_file_of_the_inventory_is_the_apps_to_read_and_conforms_to_find(twin: LabEnvironment) -> None:
    (twin.inventories / "hello.conf").write_text('# Conform reads this.\nhello.motto = "in the file"\n')
    # Setup leaves it where an earlier inventory named it.
    twin.lab.ssh(HOST, f"sudo rm -f {CONF}")
    twin.write(files={CONF: "hello.conf"})
    assert f"{CONF} 640 root:hello (it is not there)" in on_host(twin, "setup", "--check", expect=5)
    on_host(twin, "setup", "--restart")

    assert ask(twin, "Application.get_env(:hello, :motto)") == '"in the file"'
    assert twin.fab("eval", "Application.load(:hello); Application.get_env(:hello, :motto)").stdout == '"in the file"\n'
    assert twin.lab.ssh(HOST, f"sudo stat -c '%a %U:%G' {CONF}").stdout.strip() == "640 root:hello"
    refused = twin.lab.ssh(HOST, f"cat {CONF} /etc/acme/hello/secrets.env", "deploy", check=False)
    assert (refused.stdout, refused.returncode) == ("", 1)
    others = ask(twin, 'File.read("/etc/acme/hello/secrets.env")')
    assert others == "{:error, :eacces}"
    twin.lab.ssh(HOST, f"echo changed | sudo tee {CONF}")
    said = on_host(twin, "setup", "--check", "--diff", expect=5)
    assert "it was changed by hand" in said
    assert re.search(r"-changed\n.*\+hello.motto", said, re.DOTALL)

    (twin.inventories / "hello.conf").unlink()
    missing = on_host(twin, "setup", "--check", expect=2)
    assert f"files: {CONF}: {twin.inventories}/hello.conf cannot be read" in missing
    twin.write()
    on_host(twin, "setup", "--restart")
    assert ask(twin, "Application.get_env(:hello, :motto)") == "nil"


def test_no_request_fails_while_such_releases_follow_each_other(twin: LabEnvironment) -> None:
    deploy = {**twin.settings["deploy"], "strategy": "blue-green", "drain": 20}
    twin.write(deploy=deploy, env={"DRAIN_SECONDS": "0"})
    on_host(twin, "setup", "--restart")
    with load(twin.lab, HOST, 7, kept=4, fresh=2, lazy=0, slow=0) as clients:
        clients.phase("deploys")
        for words in (("deploy", "--force"), ("rollback",)):
            clients.await_requests(100, 30)
            twin.fab("-H", HOST, *words)

    assert clients.counters.failures == 0, clients.counters.figures()
    assert len(clients.counters.instances) == 3, clients.counters.figures()


def test_a_release_of_distillery_1_5_answers_the_same(twin: LabEnvironment) -> None:
    twin.write(build={"env": {"DISTILLERY": "1"}})
    twin.version("7.5.0")
    on_host(twin, "deploy")

    assert version(twin) == "7.5.0"
    assert ask(twin, "Application.spec(:hello, :vsn)") == "'7.5.0'"
    assert twin.fab("eval", "node()").stdout == ":nonode@nohost\n"
    with terminal.console(twin, "--host", HOST) as child:
        terminal.ask(child, "1 + 41", "42")


def test_a_source_that_distillery_cannot_release_is_told_in_one_message(twin: LabEnvironment) -> None:
    twin.write(build={"flavor": "distillery"}, release="other")
    said = twin.fab("build-on-host", expect=4).stderr
    assert "mix distillery.release failed on the build host" in said
    (twin.source / "rel" / "config.exs").unlink()
    twin.commit("no configuration")
    twin.write(build={"flavor": "distillery"})
    assert "there is no rel/config.exs" in twin.fab("build-on-host", expect=4).stderr
    twin.write(build={"flavor": "distillery"}, env={"NAME": "mine"})
    assert "env.NAME" in twin.fab("build-on-host", expect=2).stderr
