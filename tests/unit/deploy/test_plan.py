"""Plans as data: which release goes to which host, from facts alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from warpbeam.build.artifact import Artifact, Item, Manifest, Toolchain
from warpbeam.deploy.fitting import to_all
from warpbeam.deploy.plan_deploy import plan_deploy
from warpbeam.deploy.plan_restart import plan_restart
from warpbeam.deploy.plan_rollback import plan_rollback
from warpbeam.error import Refused
from warpbeam.helper.program import HELPER_VERSION
from warpbeam.host.facts import HelperAnswer, HostFacts, Mark, Release, about
from warpbeam.inventory.schema import Deploy, Host, Inventory

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
FRESH = "20261123T120000Z"
TOOLS = Toolchain(elixir="1.14.0", otp="25", cpu="x86_64", libc="glibc 2.36", os="Debian 12")
INVENTORY = Inventory(
    org="acme",
    app="hello",
    hosts={"web1": Host(name="web1", roles=("app",)), "web2": Host(name="web2", roles=("app", "migrate"))},
    deploy=Deploy(migrate="Hello.Release.migrate()"),
)


def artifact(version: str = "2.0", **changes: object) -> Artifact:
    """Return an artifact whose digest and commit contain its version."""
    manifest = Manifest(
        app="hello",
        release="hello",
        version=version,
        commit=f"{version:0<40}",
        subject="a subject",
        tree="t" * 40,
        dirty=False,
        flavor="mix",
        mix_env="prod",
        toolchain=TOOLS,
        erts="13.1",
        libcrypto="libcrypto.so.3",
        sha256=f"sum of {version}",
        size=100,
        files=(
            Item("bin/hello", "755", 60, "x"),
            Item("lib/a", "644", 50_000_000, "y"),
            Item("lib/b", "777", 0, "", "a"),
        ),
    )
    return Artifact(Path("x.tar.gz"), msgspec.structs.replace(manifest, **changes))


def release(name: str, version: str, mark: Mark = "healthy") -> Release:
    """Return a release of that version on a host."""
    return Release(f"2026112{name}T000000Z", mark, about(artifact(version)))


def answer(version: str = HELPER_VERSION, memory: int = 0) -> HelperAnswer:
    """Return what the privileged helper answers."""
    return HelperAnswer(version=version, activating=False, maintenance=False, memory=memory)


def facts(*releases: Release, live: int | None = -1, previous: str = "", **changes: object) -> HostFacts:
    """Return a host with `releases`; the one at index `live` is live in slot a."""
    there = live is not None and releases
    have = HostFacts(
        cpu="x86_64",
        libc="glibc 2.36",
        os="Debian 12",
        libcrypto=("libcrypto.so.3",),
        free=10**9,
        inodes=10**6,
        memory=10**9,
        live="a" if there else "",
        slots={"a": releases[live or 0].name} if there else {},
        releases=releases,
        base="",
        lacks=(),
        helper=answer(),
        previous=previous,
        lock=None,
        activating=False,
    )
    return msgspec.structs.replace(have, **changes)


def deploy(
    hosts: dict[str, HostFacts], *, force: bool = False, migrate: bool = True
) -> dict[str, tuple[str, bool, bool]]:
    """Return for each host: the release, whether it is uploaded, whether it is activated."""
    plan = plan_deploy(INVENTORY, hosts, to_all(artifact(), hosts), NOW, force=force, migrate=migrate)
    return {step.host.name: (step.release, step.upload, step.activate) for step in plan.hosts}


def test_empty_hosts_get_one_release_of_the_same_name() -> None:
    assert deploy({"web1": facts(), "web2": facts()}) == {"web1": (FRESH, True, True), "web2": (FRESH, True, True)}


def test_what_is_live_everywhere_stays_unless_it_is_forced() -> None:
    both = {name: facts(release("0", "2.0")) for name in ("web1", "web2")}

    assert deploy(both) == dict.fromkeys(both, ("20261120T000000Z", False, False))
    assert deploy(both, force=True) == dict.fromkeys(both, (FRESH, True, True))


def test_a_host_that_an_earlier_deploy_missed_gets_the_name_that_the_other_has() -> None:
    hosts = {"web1": facts(release("0", "1.0"), release("1", "2.0")), "web2": facts(release("0", "1.0"))}

    assert deploy(hosts) == {"web1": ("20261121T000000Z", False, False), "web2": ("20261121T000000Z", True, True)}


def test_what_runs_already_stays_whatever_it_is_called_on_other_hosts() -> None:
    hosts = {"web1": facts(release("0", "2.0")), "web2": facts(release("1", "2.0"))}

    assert deploy(hosts) == {"web1": ("20261120T000000Z", False, False), "web2": ("20261121T000000Z", False, False)}


def test_a_host_that_joins_takes_the_name_that_hosts_have_which_are_not_asked() -> None:
    name = "20261122T000000Z"

    def joins(have: HostFacts) -> str:
        hosts = {"web2": have}
        plan = plan_deploy(INVENTORY, hosts, to_all(artifact(), hosts), NOW, force=False, migrate=False, name=name)
        return plan.hosts[0].release

    assert joins(facts()) == name
    # That name would not sort after the releases of the host.
    assert joins(facts(release("3", "1.0"))) == FRESH


def test_what_runs_until_something_is_switched_is_reported_once_for_hosts_that_agree() -> None:
    def unchanged(*lives: Release) -> str:
        hosts = {f"web{number}": facts(live) for number, live in enumerate(lives, 1)}
        return plan_deploy(INVENTORY, hosts, to_all(artifact(), hosts), NOW, force=False, migrate=False).unchanged

    one, two = release("0", "1.0"), release("1", "1.0")
    assert unchanged(one, one) == f"as before, web1, web2: {one.name} {one.label}"
    assert unchanged(one, two) == f"as before, web1: {one.name} {one.label}; web2: {two.name} {two.label}"


def test_what_is_live_but_stopped_is_started() -> None:
    hosts = {"web1": facts(release("0", "2.0"), serving=False), "web2": facts(release("0", "2.0"))}

    assert deploy(hosts) == {"web1": ("20261120T000000Z", False, True), "web2": ("20261120T000000Z", False, False)}


def test_the_same_source_keeps_the_commit_that_hosts_have_on_a_new_host_too() -> None:
    hosts = {"web1": facts(release("0", "1.0"), release("1", "2.0")), "web2": facts(release("0", "1.0"))}

    plan = plan_deploy(INVENTORY, hosts, to_all(artifact(commit="b" * 40), hosts), NOW, force=False, migrate=False)

    assert {step.label for step in plan.hosts} == {"2.0 (2.000000), same source as bbbbbbbb"}
    assert plan.label == "2.0 (2.000000), same source as bbbbbbbb"
    assert {step.about.commit for step in plan.hosts} == {f"{'2.0':0<40}"}
    again = plan_deploy(INVENTORY, hosts, to_all(artifact(commit="b" * 40), hosts), NOW, force=True, migrate=False)
    assert {(step.label, step.about.commit) for step in again.hosts} == {("2.0 (bbbbbbbb)", "b" * 40)}


def test_a_clock_that_was_ahead_does_not_make_a_new_release_older_than_the_old() -> None:
    ahead = Release("20301231T235959Z", "healthy", about(artifact("1.0")))

    assert deploy({"web1": facts(ahead), "web2": facts()})["web2"] == ("20310101T000000Z", True, True)


def test_migrations_run_once_on_their_host_and_not_when_nothing_changes() -> None:
    def migrates(hosts: dict[str, HostFacts], *, migrate: bool = True) -> str | None:
        plan = plan_deploy(INVENTORY, hosts, to_all(artifact(), hosts), NOW, force=False, migrate=migrate)
        return ", ".join(host.name for host in plan.migrate_on) or None

    assert migrates({"web1": facts(), "web2": facts()}) == "web2"
    assert migrates({"web1": facts()}) == "web1"
    assert migrates({"web1": facts(), "web2": facts()}, migrate=False) is None
    assert migrates({name: facts(release("0", "2.0")) for name in ("web1", "web2")}) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cpu": "aarch64"}, "web1: its CPU is aarch64; the release was built for x86_64"),
        ({"libc": "glibc 2.31", "os": "Debian 11"}, r"its C library is glibc 2.31 \(Debian 11\); .* glibc 2.36"),
        ({"libc": "musl 3.0"}, "its C library is musl"),
        ({"libcrypto": ("libcrypto.so.1.1",)}, "it has no libcrypto.so.3"),
        ({"free": 60_000_000, "lacks": (1,)}, "60.0 MB are free for releases; expected 66.8 MB"),
        ({"inodes": 100}, "100 inodes are free; expected 500"),
        ({"helper": answer(version="0")}, f"the privileged helper has version 0; expected version {HELPER_VERSION}"),
        ({"helper": answer(version="")}, "the privileged helper does not answer"),
    ],
)
def test_a_host_that_cannot_run_it_is_refused_by_name_with_both_sides(changes: dict[str, object], message: str) -> None:
    with pytest.raises(Refused, match=message):
        deploy({"web1": facts(**changes), "web2": facts()})  # type: ignore[arg-type]


def test_a_rollback_and_a_restart_need_the_helper_of_this_version_too() -> None:
    old, new = release("0", "1.0"), release("1", "2.0")
    hosts = {"web1": facts(old, new, previous=old.name, helper=answer(version="9"))}

    message = f"web1: the privileged helper has version 9; expected version {HELPER_VERSION}"
    with pytest.raises(Refused, match=message):
        plan_rollback(INVENTORY, hosts, "")
    with pytest.raises(Refused, match=message):
        plan_restart(INVENTORY, hosts)


def full(*releases: Release, previous: str = "") -> HostFacts:
    """Return a host with an instance of 100 MB and no memory left."""
    return facts(*releases, previous=previous, memory=10, helper=answer(memory=102_400_000))


def side_by_side() -> Inventory:
    return msgspec.structs.replace(INVENTORY, deploy=msgspec.structs.replace(INVENTORY.deploy, strategy="blue-green"))


def test_two_instances_side_by_side_need_memory_for_both_whatever_begins_them() -> None:
    old, new = release("0", "1.0"), release("1", "2.0")
    hosts = {name: full(old, new, previous="20261120T000000Z") for name in ("web1", "web2")}

    with pytest.raises(Refused, match="web1: 10 B of memory are free"):
        plan_deploy(side_by_side(), hosts, to_all(artifact("3.0"), hosts), NOW, force=False, migrate=False)
    with pytest.raises(Refused, match="a second instance beside the live one would take 102"):
        plan_rollback(side_by_side(), hosts, "")
    with pytest.raises(Refused, match="a second instance"):
        plan_restart(side_by_side(), hosts)


def test_where_nothing_is_started_no_memory_is_asked_for() -> None:
    hosts = {name: full(release("0", "2.0")) for name in ("web1", "web2")}

    assert plan_deploy(side_by_side(), hosts, to_all(artifact("2.0"), hosts), NOW, force=False, migrate=False).idle
    # The strategy `restart` never runs two instances at once.
    assert not plan_restart(INVENTORY, hosts).idle


def test_a_newer_c_library_and_a_file_system_without_inodes_are_fine() -> None:
    assert deploy({"web1": facts(libc="glibc 2.41", inodes=-1), "web2": facts()})["web1"][2]


@pytest.mark.parametrize(
    ("marks", "target"),
    [
        (("healthy", "withdrawn", "failed", "new"), "20261120T000000Z"),
        (("healthy", "healthy", "withdrawn", "failed"), "20261121T000000Z"),
        (("withdrawn", "withdrawn", "failed", "new"), "20261121T000000Z"),
        (("failed", "new", "failed", "failed"), "20261123T000000Z"),
    ],
)
def test_a_version_deployed_more_than_once_is_the_newest_that_nobody_fled_from(
    marks: tuple[Mark, ...], target: str
) -> None:
    same = [release(str(number), "1.0", mark) for number, mark in enumerate(marks)]
    hosts = {name: facts(*same, release("9", "2.0")) for name in ("web1", "web2")}

    plan = plan_rollback(INVENTORY, hosts, "1.0")

    assert {step.release for step in plan.hosts} == {target}


def test_a_rollback_goes_to_the_release_before_the_live_one() -> None:
    hosts = {
        name: facts(release("0", "1.0"), release("1", "2.0"), previous="20261120T000000Z") for name in ("web1", "web2")
    }

    plan = plan_rollback(INVENTORY, hosts, "")

    assert [(step.release, step.upload, step.activate) for step in plan.hosts] == [
        ("20261120T000000Z", False, True)
    ] * 2
    assert (plan.withdraw, plan.migrate_on) == (True, ())


def test_a_rollback_refuses_what_it_would_have_to_guess() -> None:
    none = {"web1": facts(release("0", "1.0"))}
    with pytest.raises(Refused, match="web1: there is no release to go back to"):
        plan_rollback(INVENTORY, none, "")
    apart = {
        "web1": facts(release("0", "1.0"), release("1", "2.0"), previous="20261120T000000Z"),
        "web2": facts(release("1", "2.0"), release("2", "3.0"), previous="20261121T000000Z"),
    }
    with pytest.raises(Refused, match="web1 to 20261120T000000Z, web2 to 20261121T000000Z") as raised:
        plan_rollback(INVENTORY, apart, "")
    assert raised.value.hint == (
        "`fab ENV rollback --to 20261121T000000Z` takes all of them to 2.0 (2.000000), which web1 runs already"
    )
    with pytest.raises(Refused, match=r"web2: there is no release '1\.0'") as raised:
        plan_rollback(INVENTORY, apart, "1.0")
    assert raised.value.hint.endswith("2.0 (2.000000) 20261121T000000Z, 3.0 (3.000000) 20261122T000000Z")


def test_after_a_roll_that_was_broken_off_the_hint_is_to_what_the_others_run() -> None:
    old = (release("0", "1.0"), release("1", "2.0"))
    hosts = {
        "web1": facts(*old, release("2", "3.0"), previous="20261121T000000Z"),
        "web2": facts(*old, previous="20261120T000000Z"),
    }

    with pytest.raises(Refused) as raised:
        plan_rollback(INVENTORY, hosts, "")

    assert raised.value.hint == (
        "`fab ENV rollback --to 20261121T000000Z` takes all of them to 2.0 (2.000000), which web2 runs already"
    )
    steps = plan_rollback(INVENTORY, hosts, "20261121T000000Z").hosts
    assert [(step.release, step.activate) for step in steps] == [
        ("20261121T000000Z", True),
        ("20261121T000000Z", False),
    ]


def test_hosts_that_have_no_release_in_common_are_not_sent_to_one() -> None:
    hosts = {
        "web1": facts(release("0", "1.0"), release("1", "2.0"), previous="20261120T000000Z"),
        "web2": facts(release("2", "3.0"), release("3", "4.0"), previous="20261122T000000Z"),
    }

    with pytest.raises(Refused) as raised:
        plan_rollback(INVENTORY, hosts, "")

    assert raised.value.hint.startswith("none of these has been live on every host: ")


def test_without_a_previous_release_the_hint_names_a_newer_one_not_rolled_back() -> None:
    hosts = {"web1": facts(release("0", "1.0"), release("1", "2.0"), release("2", "3.0", "withdrawn"), live=0)}

    with pytest.raises(Refused, match="every release before the live one failed, was rolled back") as raised:
        plan_rollback(INVENTORY, hosts, "")

    assert raised.value.hint.startswith(
        "`fab ENV rollback --to 20261121T000000Z` goes to 2.0 (2.000000), which is newer"
    )


def test_a_rollback_with_no_good_release_left_names_the_others_and_says_to_choose() -> None:
    hosts = {
        "web1": facts(
            release("0", "0.9", "failed"),
            release("1", "1.0", "withdrawn"),
            release("2", "2.0"),
            release("3", "3.0", "withdrawn"),
            live=2,
        )
    }

    with pytest.raises(Refused, match="the others were rolled back from or failed") as raised:
        plan_rollback(INVENTORY, hosts, "")

    assert raised.value.hint == (
        "`fab ENV deploy --ref COMMIT` puts out another; `fab ENV rollback --to RELEASE` goes to one of these"
    )
    assert raised.value.details == (
        "web1: 20261123T000000Z 3.0 (3.000000), rolled back from",
        "web1: 20261121T000000Z 1.0 (1.000000), rolled back from",
        "web1: 20261120T000000Z 0.9 (0.900000), failed",
    )
    assert plan_rollback(INVENTORY, hosts, "1.0").hosts[0].release == "20261121T000000Z"


@pytest.mark.parametrize("to", ["20261121T000000Z", "2.0", f"{'2.0':0<40}", "2.00000"])
def test_a_release_may_be_named_by_name_version_or_commit(to: str) -> None:
    hosts = {"web1": facts(release("0", "1.0"), release("1", "2.0"), release("2", "2.0", "failed"), live=0)}

    # The second release of version 2.0 never was live, so the first one is meant.
    assert [step.release for step in plan_rollback(INVENTORY, hosts, to).hosts] == ["20261121T000000Z"]


def test_an_unknown_release_is_answered_with_the_versions_that_there_are() -> None:
    with pytest.raises(Refused, match=r"there is no release '9\.9'") as raised:
        plan_rollback(INVENTORY, {"web1": facts(release("0", "1.0"), release("1", "2.0"))}, "9.9")
    assert raised.value.hint == "it has: 1.0 (1.000000) 20261120T000000Z, 2.0 (2.000000) 20261121T000000Z"


def test_a_restart_makes_the_live_release_live_again() -> None:
    hosts = {"web1": facts(release("0", "1.0"), release("1", "2.0"))}

    assert [(step.release, step.activate) for step in plan_restart(INVENTORY, hosts).hosts] == [
        ("20261121T000000Z", True)
    ]
    with pytest.raises(Refused, match="web1: nothing is live"):
        plan_restart(INVENTORY, {"web1": facts()})
