"""App hosts of two kinds: two Debians with different C libraries, each with a build host of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.environment import LabEnvironment
from tests.hosts.conftest import raised
from tests.lab import LabHandle
from warpbeam.lab.state import HostSpec, Suite

OLD, NEW = "web5", "web6"
HOSTS = (
    HostSpec("build1", "build"),
    HostSpec("build2", "build", "trixie"),
    HostSpec(OLD),
    HostSpec(NEW, suite="trixie"),
)
# What each kind of host has, as messages say it.
BOOKWORM = "x86_64, glibc 2.36 (Debian GNU/Linux 12 (bookworm))"
TRIXIE = "x86_64, glibc 2.41 (Debian GNU/Linux 13 (trixie))"
BUILD_HOSTS = {"build1": {"roles": ["build"]}, "build2": {"roles": ["build"]}}


@pytest.fixture(scope="module")
def kinds(
    suite: Suite, labs: dict[Suite, LabHandle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabEnvironment]:
    """The sample app on a host of each Debian, set up and deployed at its first version."""
    environment = LabEnvironment(raised(labs, suite, *HOSTS), tmp_path_factory.mktemp("kinds"))
    # Each Debian builds with what it has.
    (environment.source / ".tool-versions").unlink()
    environment.settings["hosts"] = {NEW: {"roles": ["app"]}, OLD: {"roles": ["app", "migrate"]}, **BUILD_HOSTS}
    environment.write()
    environment.fab("setup")
    environment.version("1.0.0")
    yield environment


def live(environment: LabEnvironment) -> dict[str, tuple[str, str, str]]:
    """Return version, release and health of each host."""
    rows = environment.status()
    return {host: (row["version"], row["release"], row["health"]) for host, row in rows.items()}


def glibc_of(environment: LabEnvironment, key: str) -> str:
    """Return the C library that an artifact of this machine was built with."""
    found = environment.store.find(key)
    assert found is not None
    return found.manifest.toolchain.libc


def test_one_deploy_gives_each_host_the_release_that_was_built_for_its_kind(kinds: LabEnvironment) -> None:
    said = kinds.fab("deploy").stderr

    assert f"build1: has {BOOKWORM}: its release goes to {OLD}" in said
    assert f"build2: has {TRIXIE}: its release goes to {NEW}" in said
    assert "warning: one commit, different tools: build1 has Elixir 1.14.0" in said
    found = live(kinds)
    (old, new) = found[OLD], found[NEW]
    assert old == new and old[0] == "1.0.0" and old[2] == "healthy", found
    erts = {host: kinds.lab.ssh(host, "ls -d /opt/acme/hello/current/erts-*", "deploy").stdout for host in (OLD, NEW)}
    assert erts[OLD] != erts[NEW]
    entries = json.loads(kinds.fab("history", "--json").stdout)
    assert {entry["host"] for entry in entries} == {OLD, NEW}


def test_a_small_change_is_a_small_upload_for_both_kinds_and_goes_back_and_forth(kinds: LabEnvironment) -> None:
    kinds.version("2.0.0")

    said = kinds.fab("deploy").stderr

    sizes = [line for line in said.splitlines() if ": upload " in line]
    assert sorted(line.split(":")[0] for line in sizes) == [OLD, NEW]
    assert all(" kB" in line for line in sizes), sizes
    forward = live(kinds)
    assert len(set(forward.values())) == 1 and forward[OLD][0] == "2.0.0"

    kinds.fab("rollback")
    back = live(kinds)
    assert len(set(back.values())) == 1 and back[OLD][0] == "1.0.0"

    assert kinds.fab("deploy").stderr.count("built already: hello 2.0.0") == 2
    assert {found[0] for found in live(kinds).values()} == {"2.0.0"}


def test_prune_keeps_the_artifacts_of_both_kinds_that_are_live(kinds: LabEnvironment) -> None:
    before = {row["key"] for row in json.loads(kinds.fab("artifacts.list", "--json").stdout) if row["live"]}

    pruned = json.loads(kinds.fab("artifacts.prune", "--keep", "1", "--json").stdout)

    assert {glibc_of(kinds, key) for key in before} == {"glibc 2.36", "glibc 2.41"}
    assert not before & {row["key"] for row in pruned if row["state"] == "removed"}
