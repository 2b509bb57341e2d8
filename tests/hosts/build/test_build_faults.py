"""Builds on a host that lacks something: room, a network, a program, a right; and builds that are interrupted."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.background import await_end, eventually, running_fab
from tests.build_environment import change_mix_exs, write_source
from tests.environment import LabEnvironment
from tests.npm import lock, npm, package  # noqa: F401 (a fixture)

BUILD = "/opt/acme/hello/build"
# Lists programs of a build that still run.
LEFT = "pgrep -u deploy -af '[s]leep 4321|[m]ix (deps|compile|release)' || true"
# A server of git repositories that refuses: the path begins with the status.
REFUSING = """
import http.server

class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", 4874), Refusing).serve_forever()
"""


@pytest.fixture(autouse=True)
def app(source: LabEnvironment) -> Iterator[LabEnvironment]:
    """The environment, with something to build that nobody has built; its inventory is as it was afterwards."""
    write_source(source, "priv/stamp", f"{time.time_ns()}\n" * 2000)
    source.commit("something that nobody has built")
    yield source
    source.write()


def as_root(app: LabEnvironment, script: str) -> str:
    """Run a script as root on the build host; return its output."""
    return app.lab.ssh("build1", "sudo bash -s", stdin=script).stdout


@contextmanager
def filled(app: LabEnvironment, kilobytes: int) -> Iterator[None]:
    """Meanwhile /opt of the build host has only so much room."""
    as_root(app, f"fallocate -l $(($(df --output=avail -k /opt | tail -n 1) - {kilobytes}))k /opt/filled")
    try:
        yield
    finally:
        as_root(app, "rm -f /opt/filled")


def problem(app: LabEnvironment, *words: str, expect: int) -> str:
    """Run `fab`, which fails; return its error and hint, and check that nothing else is there twice or raw."""
    said = f"\n{app.fab(*words, expect=expect).stderr}"
    assert said.count("\nerror: ") == 1
    assert "reads back what is running" not in said
    return said[said.index("\nerror: ") + 1 :]


def test_a_full_disk_is_named_in_every_step_and_the_same_command_builds_later(app: LabEnvironment) -> None:
    room = f"error: build1: there is no room in {BUILD} on the build host\n  hint: make room in {BUILD}"
    with filled(app, 20):
        assert problem(app, "build-on-host", expect=4).startswith(room)
    with filled(app, 900):
        # There is room for the source, and not for the release or its tarball.
        said = problem(app, "build-on-host", expect=4)
        assert re.match(f"error: build1: (there is no room in {BUILD}|mix release failed) on the build host\n", said)
        assert f"\n  hint: make room in {BUILD}" in said
    app.fab("build-on-host")

    # A program of the build fills the disk, and leaves it so; the hint says what removes that.
    app.write(build={"assets": ["head -c 100G /dev/zero >../big"]})
    said = problem(app, "build-on-host", expect=4)
    assert said.startswith("error: build1: command 1 of build.assets failed on the build host\n")
    assert "`fab stage build-on-host --clean` removes" in said
    app.write(build={"assets": ["true"]})
    (row,) = json.loads(app.fab("build-on-host", "--clean", "--json").stdout)
    assert as_root(app, f"ls {BUILD}/big {BUILD}/*.gz* 2>/dev/null; true") == ""

    # The disk of the host that keeps artifacts.
    as_root(app, "install -d -o deploy /opt/store")
    app.write(build={"assets": ["true"], "store": "ssh://deploy@build1/opt/store"})
    with filled(app, 900):
        said = problem(app, "artifacts.push", row["key"], expect=4)
        assert re.search(r"could not be written in /opt/store: \S+ free\n  hint: make room there", said)
    assert as_root(app, "find /opt/store -type f") == ""
    assert json.loads(app.fab("artifacts.push", row["key"], "--json").stdout) == [row]
    # Nothing of it is copied to a machine that only looks.
    elsewhere = {"FABRIC_WARPBEAM_PROJECT": str(app.directory / "elsewhere")}
    (plan, *_) = json.loads(app.fab("plan", "--artifact", row["key"], "--json", variables=elsewhere).stdout)
    assert plan["to"].startswith(row["commit"][:8])
    assert not (app.directory / "elsewhere").exists()
    as_root(app, "rm -rf /opt/store")


def use_repository(app: LabEnvironment, url: str) -> None:
    """Give the app a dependency of that git repository."""
    app.git("checkout", "-q", "HEAD", "mix.exs")
    change_mix_exs(app, "deps: []", f'deps: [{{:leaf, git: "{url}"}}]')
    locked = f'%{{\n  "leaf": {{:git, "{url}", "{"a" * 40}", []}},\n}}\n'
    write_source(app, "mix.lock", locked)


@pytest.mark.usefixtures("npm")
def test_without_a_network_every_tool_fails_in_one_message_with_a_hint(app: LabEnvironment) -> None:
    change_mix_exs(app, "deps: []", 'deps: [{:jason, "~> 1.4"}]')
    locked = f'"jason": {{:hex, :jason, "1.4.4", "{"a" * 64}", [:mix], [], "hexpm", "{"b" * 64}"}}'
    write_source(app, "mix.lock", f"%{{\n  {locked},\n}}\n")
    said = problem(app, "build-on-host", "--dirty", expect=4)
    assert said.startswith("error: build1: mix local.hex failed on the build host\n  hint: can the build host reach")

    for url in ("https://git.example.com/x.git", "ssh://git@git.example.com/x.git", "http://127.0.0.1:1/x.git"):
        use_repository(app, url)
        said = problem(app, "build-on-host", "--dirty", expect=4)
        assert said.startswith("error: build1: mix deps.get failed on the build host\n  hint: can the build host reach")

    app.git("reset", "-q", "--hard")
    wanted = {"shout": "1.0.0"}
    write_source(app, "assets/package.json", json.dumps({"name": "app", "dependencies": wanted}))
    packed = {"shout": ("http://registry.example.com/shout-1.0.0.tgz", package("shout", ""))}
    write_source(app, "assets/package-lock.json", lock(wanted, packed))
    write_source(app, "assets/.npmrc", "fetch-retries=0\n")
    said = problem(app, "build-on-host", "--dirty", expect=4)
    assert said.startswith("error: build1: npm ci in assets failed on the build host\n  hint: can the build host reach")


def test_a_repository_that_refuses_is_told_with_what_lets_the_build_in(app: LabEnvironment) -> None:
    run = ("sudo", "systemd-run", "--quiet", "--collect", "--unit=refusing", "python3", "-c", REFUSING)
    app.lab.ssh("build1", shlex.join(run))
    try:
        for status in (401, 403, 404):
            use_repository(app, f"http://127.0.0.1:4874/{status}/x.git")
            said = problem(app, "build-on-host", "--dirty", expect=4)
            assert said.startswith("error: build1: mix deps.get failed on the build host\n")
            assert "build.deploy_key, build.forward_agent" in said
    finally:
        as_root(app, "systemctl stop refusing.service")


@contextmanager
def without(app: LabEnvironment, program: str) -> Iterator[None]:
    """Meanwhile the build host lacks a program."""
    path = as_root(app, f"type -P {program}").strip()
    as_root(app, f"mv {path} {path}.away")
    try:
        yield
    finally:
        as_root(app, f"mv {path}.away {path}")


def test_a_program_that_is_missing_is_named_before_anything_is_built(app: LabEnvironment) -> None:
    for program in ("mix", "erl", "tar", "gzip", "flock"):
        with without(app, program):
            said = problem(app, "build-on-host", expect=3)
        assert said.startswith(f"error: build1: there is no {program} for deploy on this build host\n  hint: install")
    (app.source / "priv/more").touch()
    with without(app, "rsync"):
        said = problem(app, "build-on-host", "--dirty", expect=3)
    assert said == "error: build1: there is no rsync for deploy on this build host\n  hint: install rsync there\n"
    use_repository(app, "https://git.example.com/x.git")
    with without(app, "git"):
        said = problem(app, "build-on-host", "--dirty", expect=4)
    assert "hint: is a program missing on the build host that this needs?" in said


def test_an_interrupt_ends_each_step_on_the_build_host_and_leaves_no_lock(app: LabEnvironment) -> None:
    for task in ("deps.get", "compile", "release"):
        app.git("checkout", "-q", "HEAD", "mix.exs")
        change_mix_exs(app, "aliases: [", f'aliases: ["{task}": ["cmd echo begun; sleep 4321", "{task}"], ')
        with running_fab(app, "build-on-host", "--dirty", until="begun") as process:
            process.send_signal(signal.SIGINT)
            status, said = await_end(process)
        assert (status, said.splitlines()[-1]) == (130, "interrupted")
        # Each program that Mix starts has a session of its own.
        assert eventually(lambda: as_root(app, LEFT) == "", 5)

    app.git("checkout", "-q", "HEAD", "mix.exs")
    assert "built hello" in app.fab("build-on-host").stderr
    left = as_root(app, f"cd {BUILD} && ls -d *.gz* src.old out/lib 2>/dev/null; true").split()
    assert left == ["out/lib"]
