"""Builds in a container, by the real podman of Debian without root, in an image of the build host's own Elixir."""

from __future__ import annotations

import secrets as entropy
import shlex
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.background import await_end, eventually, running_fab
from tests.build_environment import last_manifest, write_source
from tests.environment import LabEnvironment
from tests.podman import HOST, IMAGE, MOVE, as_deploy, of_system, podman  # noqa: F401 (a fixture)
from tests.registry import registry
from warpbeam.build.artifact import Manifest

BUILD = "/opt/acme/hello/build"
# Prints where a text is, which comes on standard input.
SEARCH = f"""
cat >/dev/shm/text
sudo grep -rlFf /dev/shm/text /opt/containers {BUILD} /home/deploy /tmp
sudo journalctl | grep -Ff /dev/shm/text
rm /dev/shm/text
"""
# A program for another CPU: the header of an ELF file for aarch64.
FOREIGN = r"printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' | cat - /dev/zero | head -c 4096"


@pytest.fixture
def app(source: LabEnvironment, podman: None) -> Iterator[LabEnvironment]:  # noqa: F811
    """The environment, which builds in a container something that nobody has built."""
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("something that nobody has built")
    use(source)
    yield source
    source.write()


def use(environment: LabEnvironment, container: Any = IMAGE, **build: Any) -> None:
    """Build in that container from now on."""
    environment.write(build={"container": container, **build})


def containers(environment: LabEnvironment) -> str:
    """The containers that there are, running or not."""
    return as_deploy(environment.lab, "podman ps --all --quiet")


def test_what_is_built_in_a_container_goes_live_and_has_the_platform_of_its_image(app: LabEnvironment) -> None:
    deployed = app.fab("deploy").stderr

    digest = as_deploy(app.lab, f"podman image inspect --format '{{{{.Id}}}}' {IMAGE}").strip()
    first: Manifest = last_manifest(app)
    made = (first.toolchain.libc, first.toolchain.os, first.toolchain.image)
    assert made == ("glibc 2.0", "System 11", digest)
    assert app.served("web1")["version"] == first.version
    assert "compile" in deployed
    assert containers(app) == ""
    assert app.lab.ssh(HOST, f"sudo find {BUILD} ! -user deploy").stdout == ""
    assert "built already" in app.fab("build-on-host").stderr
    said = app.fab("doctor", expect=None)
    line = f"in the image {IMAGE} {digest[:12]} by podman 4.3.1 (System 11); .tool-versions asks for"
    assert line in said.stdout + said.stderr

    as_deploy(app.lab, of_system(MOVE, "99.1", 12))
    refused = app.fab("deploy", expect=3).stderr

    assert "compile" in refused
    assert "its C library is glibc 2.36" in refused
    assert "the release was built with glibc 99.1 (System 12)" in refused
    second = last_manifest(app).toolchain
    assert second.os == "System 12"
    # Nothing that the first image made is used by the second.
    directories = app.lab.ssh(HOST, f"sudo ls {BUILD}/images").stdout.split()
    assert {digest[:16], second.image[:16]} <= {*directories}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_ends_early_ends_its_container_and_its_secret_is_nowhere(
    app: LabEnvironment, end: signal.Signals
) -> None:
    token = f"planted{entropy.token_hex(8)}"
    (app.directory / "npm-token").write_text(token)
    use(app, secrets={"NPM_TOKEN": {"file": str(app.directory / "npm-token")}}, assets=["env; sleep 4321"])

    with running_fab(app, "build-on-host", "--rebuild", until="NPM_TOKEN=***") as process:
        seen = as_deploy(app.lab, "podman inspect $(podman ps --quiet); podman logs --latest 2>&1; ps axww -o args")
        busy = app.fab("build-on-host", "--rebuild", expect=3).stderr
        process.send_signal(end)
        if end == signal.SIGINT:
            assert await_end(process)[0] == 130

    assert "warpbeam-acme-hello-" in seen
    assert "sleep 4321" in seen
    assert "another build is running on this host" in busy
    assert eventually(lambda: containers(app) == "" and not sleeping(app), 10)
    assert token not in seen
    assert app.lab.ssh(HOST, f"bash -c {shlex.quote(SEARCH)}", stdin=token).stdout == ""


def sleeping(environment: LabEnvironment) -> str:
    """The processes of the asset step."""
    return environment.lab.ssh(HOST, "pgrep -f '[s]leep 4321'", check=False).stdout


def refusal(environment: LabEnvironment, container: Any) -> str:
    """The message of a build in that container, which is refused before it begins."""
    use(environment, container)
    return environment.fab("build-on-host", expect=3).stderr


def test_what_an_image_does_not_have_is_one_message(app: LabEnvironment) -> None:
    def hidden(path: str, file: str = "/dev/null") -> str:
        return refusal(app, {"image": IMAGE, "options": [f"--volume={file}:{path}:ro"]})

    # Debian's mix is a link to there.
    without = refusal(app, {"image": IMAGE, "options": ["--tmpfs=/usr/lib/elixir:notmpcopyup"]})

    as_deploy(app.lab, f"{FOREIGN} >foreign && chmod 755 foreign")

    assert f"error: build1: the image {IMAGE} has no bash, which the scripts of a build need" in hidden("/usr/bin/bash")
    assert f"error: build1: the image {IMAGE} has no tar" in hidden("/usr/bin/tar")
    assert "error: build1: there is no mix for deploy on this build host" in without
    assert f"hint: the build runs in the image {IMAGE} (podman)" in without
    foreign = hidden("/usr/bin/dash", "/home/deploy/foreign")
    assert f"error: build1: the image {IMAGE} is for another CPU than this host's (x86_64)" in foreign


def test_an_image_that_cannot_be_had_is_one_message(app: LabEnvironment) -> None:
    with registry(app.lab, HOST) as place:
        assert f"error: build1: there is no image {place}/gone:1" in refusal(app, f"{place}/gone:1")
        private = refusal(app, f"{place}/private:1")
        assert f"error: build1: the registry refuses the image {place}/private:1 to deploy" in private
        assert f"podman login {place}, as deploy on the build host" in private
        app.lab.ssh(HOST, "sudo fallocate -l $(($(df --output=avail -B1 /opt | tail -n 1) - 100000000)) /opt/filler")
        try:
            full = refusal(app, f"{place}/zeros:1")
        finally:
            app.lab.ssh(HOST, "sudo rm /opt/filler")
        assert f"error: build1: there is no room on this host for the image {place}/zeros:1" in full
        pulled = refusal(app, {"image": f"{place}/zeros:1", "pull": "always"})
    assert f"build1: pull {place}/zeros:1" in pulled
    assert "│ Copying blob sha256:" in pulled
    assert f"error: build1: the image {place}/zeros:1 has no sh" in pulled
    away = refusal(app, f"{place}/gone:1")
    assert f"error: build1: the registry of the image {place}/gone:1 cannot be reached from this host" in away
    never = refusal(app, {"image": "localhost/none:1", "pull": "never"})
    assert "error: build1: the image localhost/none:1 is not on this host" in never


def test_an_engine_that_is_missing_or_cannot_run_is_one_message(app: LabEnvironment) -> None:
    missing = refusal(app, {"image": IMAGE, "engine": "docker"})
    assert f"error: build1: there is no docker here for the image {IMAGE}" in missing
    # A lab's host does not let a process make a keyring, which is podman's default.
    as_deploy(app.lab, "mv .config/containers/containers.conf kept")
    try:
        stopped = refusal(app, IMAGE)
    finally:
        as_deploy(app.lab, "mv kept .config/containers/containers.conf")
    assert "crun: create keyring" in stopped
    assert f"error: build1: podman could not run the image {IMAGE}" in stopped
    app.lab.ssh(HOST, "sudo sed -i.kept /deploy/d /etc/subuid /etc/subgid")
    as_deploy(app.lab, "podman system migrate", check=False)
    try:
        numberless = refusal(app, IMAGE)
    finally:
        app.lab.ssh(HOST, "sudo mv /etc/subuid.kept /etc/subuid; sudo mv /etc/subgid.kept /etc/subgid")
        as_deploy(app.lab, "podman system migrate")
    assert "error: build1: podman cannot run for deploy, who has no user numbers of its own" in numberless
