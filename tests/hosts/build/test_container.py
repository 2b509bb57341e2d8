"""Builds in a container, by the real podman of Debian without root, in an image of the build host's own Elixir."""

from __future__ import annotations

import json
import secrets as entropy
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.background import await_end, eventually, running_fab
from tests.build_environment import last_manifest, write_source
from tests.environment import LabEnvironment
from tests.podman import HOST, IMAGE, as_deploy, podman  # noqa: F401 (a fixture)

# The image is another system than the host: its C library is older than any, and it says so itself.
SYSTEM = """
c=$(podman create {image} sh) && d=$(mktemp -d) && printf '#!/bin/sh\\necho {libc}\\n' >$d/getconf && chmod 755 $d/getconf
printf 'ID=debian\\nVERSION_ID={number}\\nPRETTY_NAME="Image {number}"\\n' >$d/os-release
podman cp $d/getconf $c:/usr/bin/getconf && podman cp $d/os-release $c:/usr/lib/os-release
podman commit --quiet $c {image} && podman rm $c
"""
CONTAINERS = "podman ps --all --quiet"


@pytest.fixture
def app(source: LabEnvironment, podman: None) -> Iterator[LabEnvironment]:  # noqa: F811
    """The environment, which builds in a container."""
    write_source(source, "priv/stamp", str(time.time_ns()))
    source.commit("something that nobody has built")
    use(source)
    yield source
    source.write()


def use(environment: LabEnvironment, container: Any = IMAGE, **build: Any) -> None:
    """Build in that container."""
    environment.write(build={"container": container, **build})


def set_system(environment: LabEnvironment, libc: str, number: int) -> None:
    """Move the image's tag to an image with that C library and version of the system."""
    as_deploy(environment.lab, SYSTEM.format(image=IMAGE, libc=libc, number=number))


def test_a_deploy_that_was_built_in_a_container_goes_live(app: LabEnvironment) -> None:
    use(app, {"image": IMAGE, "options": ["--env=COLOUR=blue"]})

    deployed = app.fab("deploy").stderr

    assert app.served("web1")["version"]
    assert "built hello" in deployed
    print(deployed)
