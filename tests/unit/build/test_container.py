"""Builds in a container: the key and the directory, the shell in front, and what engines say when they fail."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from warpbeam.build.artifact import Toolchain
from warpbeam.build.container import ContainerShell, FoundImage, inside, root_of
from warpbeam.build.recipe import key_of
from warpbeam.build.source import Source
from warpbeam.error import Refused
from warpbeam.host.script import PACKAGE, READER
from warpbeam.inventory.build import Build
from warpbeam.inventory.container import Container
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.provision.compiler import ENGINE, kit_of, wanted_packages
from warpbeam.shell import OnBytes

IMAGE = "docker.io/library/elixir:1.17"
FOUND = FoundImage("podman", "4.3.1", "ab" * 32, rootless=True, runtime="crun")
TOOLS = Toolchain(elixir="1.14.0", otp="25", cpu="x86_64", libc="glibc 2.36", os="Debian 12")
SOURCE = Source(Path(), Path(), "", "c" * 40, "t" * 40, "subject")
BUILDER = Host(name="build1", roles=("build",))


def inventory(**build: Any) -> Inventory:
    """An environment with these settings of its build."""
    return Inventory(org="acme", app="hello", hosts={"build1": BUILDER}, build=Build(**build))


def key(digest: str = "", **container: Any) -> str:
    settings = inventory(container=Container(IMAGE, **container)) if container or digest else inventory()
    return key_of(SOURCE, settings, msgspec.structs.replace(TOOLS, image=digest))


def test_the_digest_of_the_image_and_the_options_decide_the_artifact() -> None:
    of_image = key("a" * 64)

    assert len({key(), of_image, key("b" * 64), key("a" * 64, options=("--env=A=b",))}) == 4
    assert key("a" * 64, engine="docker", pull="always") == of_image
    # The key of a build without a container is as before there were containers.
    assert msgspec.to_builtins(TOOLS).keys() == {"elixir", "otp", "cpu", "libc", "os"}


def test_an_image_has_a_directory_of_its_own_on_the_build_host() -> None:
    assert root_of(inventory(), None) == "/opt/acme/hello"
    assert root_of(inventory(), FOUND) == f"/opt/acme/hello/build/images/{'ab' * 8}"


def test_setup_installs_an_engine_in_place_of_a_compiler() -> None:
    def kit(**build: Any) -> str:
        return kit_of(inventory(**build), BUILDER)

    assert kit(container=Container(IMAGE)) == ""
    assert kit(install=True) == "compiler"
    assert kit(install=True, container=Container(IMAGE)) == "engine"
    assert kit(install=True, container=Container(IMAGE, engine="docker")) == ""
    assert wanted_packages((), "dnf", kit="engine") == ENGINE["dnf"]


class Machine:
    """A shell that keeps what it is given."""

    name = "build1"
    busy = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.commands: list[str] = []

    def open(self) -> None:
        raise NotImplementedError

    def execute(self, command: str, chunks: Iterable[bytes], on_stdout: OnBytes, on_stderr: OnBytes) -> int:
        for chunk in chunks:
            self.sent.append(chunk)
        self.commands.append(command)
        return 0

    def interrupt(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_the_script_of_a_container_comes_first_and_nothing_is_an_argument() -> None:
    machine = Machine()
    with inside(machine, inventory(container=Container(IMAGE)), FOUND, build="k" * 20) as shell:
        assert isinstance(shell, ContainerShell)
        shell.execute(READER, [b"the script and a secret", b"the source"], print, print)

    assert machine.commands == [READER]
    first, *rest = machine.sent
    assert first.endswith(b"exit; }the script and a secret")
    assert b"digest=" + b"ab" * 32 in first
    assert b"name=warpbeam-acme-hello-" + b"k" * 20 in first
    assert rest == [b"the source"]


def test_nothing_is_sent_where_an_interrupt_came_before() -> None:
    def interrupted() -> Iterator[bytes]:
        raise KeyboardInterrupt
        yield b""

    machine = Machine()
    with (
        inside(machine, inventory(container=Container(IMAGE)), FOUND) as shell,
        pytest.raises(KeyboardInterrupt),
    ):
        shell.execute(READER, interrupted(), print, print)
    assert machine.sent == []


def test_a_problem_of_a_script_inside_names_the_image_once() -> None:
    def hint(reason: str) -> str:
        with pytest.raises(Refused) as raised, inside(Machine(), inventory(container=Container(IMAGE)), FOUND):
            raise Refused(reason, "install Elixir")
        return raised.value.hint

    assert hint("there is no mix") == f"the build runs in the image {IMAGE} (podman); install Elixir"
    assert hint(f"the image {IMAGE} has no bash") == "install Elixir"


# Each is what podman 4 or docker 20 and later say, with the beginning of what that is to a person.
SAID = {
    "Error: initializing source docker://r.io/a:1: reading manifest 1 in r.io/a: manifest unknown": "there is no image",
    'Error: short-name "a:1" did not resolve to an alias and no unqualified-search registries are defined in '
    '"/etc/containers/registries.conf"': "there is no image",
    "Error response from daemon: manifest for r.io/a:1 not found: manifest unknown: manifest unknown": (
        "there is no image"
    ),
    "Error response from daemon: pull access denied for a, repository does not exist or may require 'docker login': "
    "denied: requested access to the resource is denied": "the registry refuses the image",
    "Error: reading manifest 1 in r.io/a: unauthorized: authentication required": "the registry refuses the image",
    "Error: initializing source docker://r.io/a:1: pinging container registry r.io: Get https://r.io/v2/: dial tcp: "
    "lookup r.io: no such host": "the registry of the image",
    "Error response from daemon: Get https://r.io/v2/: net/http: TLS handshake timeout": "the registry of the image",
    "Error: writing blob: adding layer with blob sha256:1: ApplyLayer exit status 1 stdout:  stderr: write /x: "
    "no space left on device": "there is no room",
    "ERROR (catatonit:2): failed to exec pid1: Exec format error": "the image docker.io/library/elixir:1.17 is for",
    "exec /bin/sh: exec format error": "the image docker.io/library/elixir:1.17 is for another CPU",
    "Error: cannot find UID/GID for user deploy: no subuid ranges found for user": "podman cannot run for",
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?": (
        "docker does not run"
    ),
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "
    "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/info: dial unix /var/run/docker.sock: connect: permission denied": (
        "may not use docker"
    ),
    "Error: crun: create keyring `a`: Operation not permitted: OCI permission denied": "unknown",
}


@pytest.mark.parametrize("said", SAID)
def test_what_an_engine_says_is_put_into_one_sentence(said: str) -> None:
    text = (PACKAGE / "build" / "engine.sh").read_text()
    command = (
        f'engine=podman image={IMAGE}\n{text}\nrecognise_engine "$(cat)" || cause=unknown; echo "$cause"; echo "$REPLY"'
    )

    done = subprocess.run(["bash", "-c", command], input=said, capture_output=True, text=True, check=True)

    cause, hint = done.stdout.split("\n", 1)
    assert SAID[said] in cause
    assert hint.strip() or cause == "unknown"
