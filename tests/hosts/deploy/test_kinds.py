"""App hosts of two kinds: two Debians with different C libraries, each with a build host of its own."""

from __future__ import annotations

import json

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
# The kinds of host, as messages say them.
BOOKWORM = "x86_64, glibc 2.36 (Debian GNU/Linux 12 (bookworm))"
TRIXIE = "x86_64, glibc 2.41 (Debian GNU/Linux 13 (trixie))"
BUILD_HOSTS = {"build1": {"roles": ["build"]}, "build2": {"roles": ["build"]}}


@pytest.fixture(scope="module")
def kinds(labs: dict[Suite, LabHandle], tmp_path_factory: pytest.TempPathFactory) -> LabEnvironment:
    """The sample app on a host of each Debian, set up; whichever Debian is chosen, the lab has both."""
    environment = LabEnvironment(raised(labs, "bookworm", *HOSTS), tmp_path_factory.mktemp("kinds"))
    # Each Debian builds with what it has.
    (environment.source / ".tool-versions").unlink()
    environment.settings["hosts"] = {NEW: {"roles": ["app"]}, OLD: {"roles": ["app", "migrate"]}, **BUILD_HOSTS}
    environment.write()
    environment.fab("setup")
    environment.version("1.0.0")
    return environment


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


def test_a_host_is_refused_what_was_built_for_a_newer_c_library(kinds: LabEnvironment) -> None:
    (built,) = json.loads(kinds.fab("build-on-host", "--json", "-H", "build2").stdout)
    before = live(kinds)

    said = kinds.fab("deploy", "--artifact", built["key"], expect=3).stderr
    assert f"{OLD}: its C library is glibc 2.36" in said and "the release was built with glibc 2.41" in said

    kinds.write(hosts={**kinds.settings["hosts"], OLD: {"roles": ["app"], "build": "build2"}})
    try:
        said = kinds.fab("deploy", expect=3).stderr
    finally:
        kinds.write()
    assert f"{OLD}: build2, which is its `build` in the inventory, does not fit it: it has {BOOKWORM}" in said
    assert f"build2 has {TRIXIE}" in said
    assert live(kinds) == before


def test_plan_and_doctor_say_where_the_release_of_each_host_is_built(kinds: LabEnvironment) -> None:
    rows = json.loads(kinds.fab("plan", "--json").stdout)
    assert {row["host"]: row["built_on"] for row in rows} == {OLD: "build1", NEW: "build2"}

    found = json.loads(kinds.fab("doctor", "--json", "-H", "build1,build2", expect=None).stdout)
    tools = {row["host"]: row for row in found if row["check"] == "tools"}
    assert "builds for hosts with x86_64 and glibc 2.36 or newer" in str(tools["build1"])
    assert "glibc 2.41 or newer" in str(tools["build2"])


def test_where_one_build_fails_nothing_is_deployed_on_any_kind(kinds: LabEnvironment) -> None:
    before = live(kinds)
    file = kinds.source / "lib" / "picky.ex"
    file.write_text('if System.otp_release() < "26", do: raise "no such function on this OTP"\n')
    kinds.version("3.0.0")
    try:
        said = kinds.fab("deploy", expect=4).stderr
    finally:
        file.unlink()
        kinds.commit("no longer picky")

    assert "no such function on this OTP" in said
    assert "deploy: from" not in said
    assert live(kinds) == before


def test_a_working_tree_is_the_same_for_all_kinds_and_built_only_where_it_is_needed(kinds: LabEnvironment) -> None:
    readme = kinds.source / "README.md"
    readme.write_text(f"not committed {kinds.git('rev-parse', 'HEAD')}\n")
    try:
        said = kinds.fab("build-on-host", "--dirty", "-H", OLD).stderr
        assert "build1: built hello" in said and "build2" not in said
        done = kinds.fab("build-on-host", "--dirty", "--json")
    finally:
        kinds.git("checkout", "--", "README.md")

    assert "build2: built hello" in done.stderr and "build1: built" not in done.stderr
    found = [kinds.store.find(row["key"]) for row in json.loads(done.stdout)]
    trees = {artifact.manifest.tree for artifact in found if artifact is not None}
    assert len(found) == 2 and len(trees) == 1


def test_what_ci_built_for_each_kind_is_deployed_by_its_keys(kinds: LabEnvironment) -> None:
    kinds.version("1.0.0")
    built = json.loads(kinds.fab("build-on-host", "--json").stdout)
    assert [row["libc"] for row in built] == ["glibc 2.36", "glibc 2.41"]
    keys = ",".join(row["key"] for row in built)

    said = kinds.fab("deploy", "--artifact", keys).stderr

    assert f"{built[0]['key']} ({BOOKWORM}) goes to {OLD}" in said
    found = live(kinds)
    assert len(set(found.values())) == 1 and found[NEW][0] == "1.0.0"


def test_prune_keeps_the_artifacts_of_both_kinds_that_are_live(kinds: LabEnvironment) -> None:
    before = {row["key"] for row in json.loads(kinds.fab("artifacts.list", "--json").stdout) if row["live"]}

    pruned = json.loads(kinds.fab("artifacts.prune", "--keep", "1", "--json").stdout)

    assert {glibc_of(kinds, key) for key in before} == {"glibc 2.36", "glibc 2.41"}
    assert not before & {row["key"] for row in pruned if row["state"] == "removed"}
