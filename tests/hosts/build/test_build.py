"""Building on the build host: what is built, what is refused, what is kept; and setting hosts up."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest

from tests.assertions import assert_current_stays_whole, assert_serves, commit_another_version, lasting_status
from tests.environment import LabEnvironment


def test_the_same_source_is_not_built_twice(source: LabEnvironment) -> None:
    # Something that no earlier run has built.
    (source.source / "priv" / "stamp").write_text(str(time.time_ns()))
    first = source.commit("a new file")
    built = source.fab("build-on-host")
    again = source.fab("build-on-host")
    other = source.commit("the same tree")
    told = source.fab("build-on-host")

    assert "build1: compile" in built.stderr
    assert re.search(rf"built hello \S+ \({first[:8]}\), [0-9.]+ MB", built.stderr)
    assert "compile" not in again.stderr + told.stderr
    assert f"({first[:8]})" in again.stderr
    assert f"built already: hello {(source.source / 'VERSION').read_text().strip()} ({other[:8]})" in told.stderr


def test_the_toolchain_that_files_tell_is_the_one_that_a_vm_tells(source: LabEnvironment) -> None:
    exact = 'File.read!("#{:code.root_dir()}/releases/#{System.otp_release()}/OTP_VERSION")'
    asked = shlex.quote(f"IO.puts(System.version()); IO.puts({exact})")
    told = source.lab.ssh("build1", f"elixir -e {asked}")
    elixir, otp = told.stdout.split()
    (source.source / "priv" / "stamp").write_text(str(time.time_ns()))
    source.commit("a release that nobody has built")

    source.fab("build-on-host")

    store = source.store
    tree = source.git("rev-parse", "HEAD^{tree}")
    kept = [artifact.manifest for file in store.directory.glob("*.json") if (artifact := store.find(file.stem))]
    tools = next(manifest.toolchain for manifest in kept if manifest.tree == tree)
    assert (tools.elixir, tools.otp) == (elixir, otp)


def test_a_change_of_the_same_size_older_than_the_last_build_is_compiled(
    source: LabEnvironment,
) -> None:
    text = (source.source / "lib" / "hello.ex").read_text()
    commits = {}
    for letter in "ab":
        stamp = f"{letter}{time.time_ns()}"
        (source.source / "lib" / "hello.ex").write_text(text.replace('app: "hello"', f'app: "{stamp}"'))
        # The commit first: an assignment works out its right side before a key on its left.
        commit = source.commit(f"it calls itself {stamp}")
        commits[commit] = source.git("rev-parse", "HEAD^{tree}")

    # Only now, the newer after the older: what changed in between is older than the compiled code.
    for commit in commits:
        source.fab("build-on-host", "--ref", commit)

    store = source.store
    kept = [artifact.manifest for file in store.directory.glob("*.json") if (artifact := store.find(file.stem))]
    modules = [
        item.sha256
        for tree in commits.values()
        for manifest in kept
        if manifest.tree == tree
        for item in manifest.files
        if item.path.endswith("/Elixir.Hello.beam")
    ]
    assert len(modules) == 2
    assert modules[0] != modules[1]


def test_a_dirty_tree_is_refused_and_goes_out_only_where_that_is_said(source: LabEnvironment) -> None:
    version = commit_another_version(source)
    before = lasting_status(source)
    (source.source / "VERSION").write_text("8.8.8\n")
    (source.source / "lib" / "untracked.ex").write_text("defmodule Untracked do\nend\n")

    refused = source.fab("deploy", expect=3)
    assert lasting_status(source) == before
    with assert_current_stays_whole(source.lab):
        source.fab("deploy", "--dirty")

    assert "differs from HEAD in 2 files: they would not be built" in refused.stderr
    assert "| M VERSION" in refused.stderr
    assert "| ?? lib/untracked.ex" in refused.stderr
    assert "--dirty" in refused.stderr
    assert_serves(source, "8.8.8")
    for host in before:
        live = source.releases(host)[0]
        assert (live["version"], live["state"]) == ("8.8.8", "live")
        assert live["commit"].endswith(", dirty")
    source.git("checkout", "-q", ".")
    source.git("clean", "-q", "-d", "--force")
    source.fab("deploy")
    assert_serves(source, version)


def test_a_lock_file_that_is_out_of_date_is_refused(source: LabEnvironment) -> None:
    # A dependency that the build host can fetch without a network.
    project = (
        'defmodule Leaf.MixProject do\n  use Mix.Project\n  def project, do: [app: :leaf, version: "1.0.0"]\nend\n'
    )
    make = "rm -rf ~/leaf && mkdir ~/leaf && cd ~/leaf && cat >mix.exs && git init -q . && git add -A"
    make += " && git -c user.name=T -c user.email=t@localhost commit -q -m leaf"
    source.lab.ssh("build1", f"sudo -u deploy -i bash -c {shlex.quote(make)}", stdin=project)
    mix = source.source / "mix.exs"
    mix.write_text(mix.read_text().replace("deps: []", 'deps: [{:leaf, git: "/home/deploy/leaf"}]'))
    source.commit("a dependency that is not locked")
    before = lasting_status(source)

    refused = source.fab("deploy", expect=4)

    assert "error: build1: mix.lock is out of date: mix.exs asks for what it does not lock" in refused.stderr
    assert '+  "leaf": {:git, "/home/deploy/leaf"' in refused.stderr
    assert "run `mix deps.get`, commit mix.lock" in refused.stderr

    # The same where the project keeps it elsewhere.
    mix.write_text(mix.read_text().replace("deps: [{", 'lockfile: "config/mix.lock",\n      deps: [{'))
    source.commit("another place")
    refused = source.fab("deploy", expect=4)
    assert "error: build1: config/mix.lock is out of date: mix.exs asks for what it does not lock" in refused.stderr
    assert lasting_status(source) == before


def test_tools_that_do_not_fit_are_refused_by_both_names(source: LabEnvironment) -> None:
    (source.source / ".tool-versions").write_text("erlang 25.2.3\nelixir 1.13.4\n")
    source.commit("an older Elixir")

    refused = source.fab("deploy", expect=3)

    assert "error: build1: .tool-versions asks for Elixir 1.13.4; this build host has 1." in refused.stderr


def test_a_compiler_s_error_is_shown_last(source: LabEnvironment) -> None:
    (source.source / "lib" / "broken.ex").write_text("defmodule Broken do\n  def f, do: undefined_thing\nend\n")
    source.commit("does not compile")

    failed = source.fab("deploy", expect=4)

    assert "undefined_thing" in failed.stderr
    assert "lib/broken.ex:2" in failed.stderr
    assert failed.stderr.splitlines()[-2] == "error: build1: mix compile failed on the build host"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("export RELEASE_NODE=hello@127.0.0.1", True),
        ('export RELEASE_NODE="${RELEASE_NODE:-hello@127.0.0.1}"', False),
        ("# export RELEASE_NODE=hello", False),
    ],
)
def test_a_release_that_names_its_own_node_is_reported(source: LabEnvironment, line: str, expected: bool) -> None:
    file = source.source / "rel" / "env.sh.eex"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"# {time.time_ns()}\n{line}\n")
    source.commit("an env.sh of its own")

    built = source.fab("build-on-host")

    assert ("rel/env.sh.eex sets RELEASE_NODE" in built.stderr) is expected
    # Also of what was built before.
    kept = source.fab("build-on-host")
    assert "built already" in kept.stderr
    assert ("rel/env.sh.eex sets RELEASE_NODE" in kept.stderr) is expected


def test_tests_that_fail_build_nothing_and_tests_that_pass_do(source: LabEnvironment) -> None:
    # One quick test instead of the app's own.
    for file in (source.source / "test").rglob("*_test.exs"):
        file.unlink()
    test = source.source / "test" / "sum_test.exs"
    template = 'defmodule SumTest do\n  use ExUnit.Case\n  # {}\n  test "a sum", do: assert 1 + 1 == {}\nend\n'
    stamp = time.time_ns()
    test.write_text(template.format(stamp, 3))
    source.commit("a test that fails")
    failed = source.fab("build-on-host", "--test", expect=4)
    test.write_text(template.format(stamp, 2))
    source.commit("a test that passes")
    passed = source.fab("build-on-host", "--test")

    assert "error: build1: mix test failed on the build host" in failed.stderr
    assert "nothing was built" in failed.stderr
    assert "1 test, 1 failure" in failed.stderr
    assert "package" not in failed.stderr
    assert "1 test, 0 failures" in passed.stderr
    assert "built hello " in passed.stderr


def test_a_ref_that_is_no_commit_is_a_misuse(environment: LabEnvironment) -> None:
    refused = environment.fab("deploy", "--ref", "no-such-branch", expect=2)

    assert "error: there is no commit 'no-such-branch' in " in refused.stderr


def test_an_environment_without_a_build_host_says_so(environment: LabEnvironment) -> None:
    hosts = {name: host for name, host in environment.settings["hosts"].items() if name != "build1"}
    environment.write(hosts=hosts)
    try:
        refused = environment.fab("deploy", expect=2)
    finally:
        environment.write()

    assert "stage.yml: no host has the role build" in refused.stderr


def test_an_environment_without_an_app_host_is_no_environment(environment: LabEnvironment) -> None:
    with environment.another("noapp", hosts={"build1": {"roles": ["build"]}}):
        refused = environment.fab("deploy", inventory="noapp", expect=2)
        narrowed = environment.fab("-H", "build1", "deploy", expect=2)

    assert "app" in refused.stderr
    assert "no chosen host has the role app" in narrowed.stderr


def test_a_wrong_host_key_stops_everything_and_shows_it(environment: LabEnvironment, tmp_path: Path) -> None:
    before = lasting_status(environment)
    known = Path(environment.settings["ssh"]["known_hosts"]).read_text().splitlines()
    address = environment.lab.address("web2")
    wrong = next(line.split()[2] for line in known if address not in line.split()[0])
    file = tmp_path / "known_hosts"
    lines = [re.sub(r"\S+$", wrong, " ".join(line.split()[:3])) if address in line else line for line in known]
    file.write_text("\n".join(lines) + "\n")
    file_without = tmp_path / "fewer"
    file_without.write_text("\n".join(line for line in known if address not in line) + "\n")

    try:
        environment.write(ssh={**environment.settings["ssh"], "known_hosts": str(file)})
        changed = environment.fab("deploy", "--force", expect=3)
        environment.write(ssh={**environment.settings["ssh"], "known_hosts": str(file_without)})
        unknown = environment.fab("deploy", "--force", expect=3)
    finally:
        environment.write()

    shown = environment.lab.ssh("web2", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
    for refused in (changed, unknown):
        assert "error: web2" in refused.stderr
        assert shown in refused.stderr
        assert "nothing was changed on any host" in refused.stderr
    assert f"{file}:" in changed.stderr
    assert "fab stage hosts.trust -H web2" in unknown.stderr
    assert lasting_status(environment) == before


def test_setup_twice_changes_nothing_and_says_so(environment: LabEnvironment) -> None:
    environment.fab("setup")

    done = environment.fab("setup")

    assert "nothing to change: every host is as the inventory says" in done.stderr
    assert "changing" not in done.stderr
    environment.fab("setup", "--check")


def test_setup_puts_right_what_was_changed_by_hand_and_names_it(environment: LabEnvironment) -> None:
    unit = "/lib/systemd/system/hello@.service"
    environment.lab.ssh(
        "web2", f"echo '# mine' | sudo tee -a {unit} >/dev/null && sudo chmod 777 /opt/acme/hello/slots"
    )

    check = environment.fab("setup", "--check", expect=5)
    done = environment.fab("setup")
    environment.fab("setup", "--check")

    assert f"web2: would change: file {unit} 644 root:root" in check.stderr
    assert "web1: would change" not in check.stderr
    assert f"web2: changing: file {unit} 644 root:root" in done.stderr
    assert "web2: changing: directory /opt/acme/hello/slots 2750 deploy:hello" in done.stderr
    assert environment.lab.ssh("web2", f"grep -c mine {unit}", check=False).stdout.strip() == "0"
    assert json.loads(environment.fab("status", "--json", expect=None).stdout)
