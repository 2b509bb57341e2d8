"""Which artifact fits which host: the choice as data, and one message for each case without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.unit.deploy.test_plan import INVENTORY, NOW, TOOLS, artifact, facts, release
from tests.unit.deploy.test_target import RECIPE
from warpbeam.build import build
from warpbeam.build.artifact import Artifact
from warpbeam.build.recipe import Recipe
from warpbeam.deploy import builds, lock
from warpbeam.deploy.builds import Builds, builders_to_show, choose_builds, needed_recipes
from warpbeam.deploy.fitting import Artifacts, Offer, Platform, fit, platform_of, to_all
from warpbeam.deploy.plan_deploy import plan_deploy
from warpbeam.deploy.put_live import note_live, rolled_back
from warpbeam.error import Failed, Problem, Refused, Unreachable
from warpbeam.event import Event, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.store.directory import DirectoryStore
from warpbeam.store.store import PutLive

MUSL = "musl libc (x86_64)"
OLD = Offer("old", Platform("x86_64", "glibc 2.31", "Debian 11"))
MIDDLE = Offer("middle", Platform("x86_64", "glibc 2.36", "Debian 12"))
NEW = Offer("new", Platform("x86_64", "glibc 2.41", "Debian 13"))
ARM = Offer("arm", Platform("aarch64", "glibc 2.36", "Debian 12"))
ALPINE = Offer("alpine", Platform("x86_64", MUSL, "Alpine Linux v3.20"))
ALL = (OLD, MIDDLE, NEW, ARM, ALPINE)


def host(libc: str = "glibc 2.36", cpu: str = "x86_64", system: str = "Debian 12") -> HostFacts:
    return facts(libc=libc, cpu=cpu, os=system)


@pytest.mark.parametrize(
    ("libc", "cpu", "expected"),
    [
        ("glibc 2.36", "x86_64", "middle"),
        ("glibc 2.41", "x86_64", "new"),
        ("glibc 2.42", "x86_64", "new"),
        # Between two versions, and a version whose text would sort otherwise.
        ("glibc 2.40", "x86_64", "middle"),
        ("glibc 2.100", "x86_64", "new"),
        ("glibc 2.31", "x86_64", "old"),
        ("glibc 2.36", "aarch64", "arm"),
        ("glibc 2.41", "aarch64", "arm"),
        (MUSL, "x86_64", "alpine"),
    ],
)
def test_a_host_gets_the_newest_artifact_that_runs_on_it(libc: str, cpu: str, expected: str) -> None:
    have = {"web1": host(libc, cpu)}
    assert fit(ALL, have) == fit(tuple(reversed(ALL)), have) == {"web1": expected}


def test_a_pin_decides_where_what_it_names_runs() -> None:
    have = {"web1": host("glibc 2.41"), "web2": host("glibc 2.41")}
    assert fit(ALL, have, {"web2": "old"}) == {"web1": "new", "web2": "old"}


@pytest.mark.parametrize(
    ("offers", "have", "pin", "message"),
    [
        (
            (MIDDLE, NEW),
            host(cpu="aarch64"),
            "",
            r"web1: no build host fits it: it has aarch64, glibc 2\.36 \(Debian 12\); middle has x86_64, glibc 2\.36 "
            r"\(Debian 12\); new has x86_64, glibc 2\.41 \(Debian 13\); nothing was changed",
        ),
        ((MIDDLE, NEW), host("glibc 2.31"), "", "no build host fits it: it has x86_64, glibc 2.31"),
        ((MIDDLE, NEW), host(MUSL), "", "no build host fits it: it has x86_64, musl libc"),
        ((ALPINE,), host("glibc 2.36"), "", "no build host fits it"),
        ((MIDDLE, NEW), host(), "new", "new, which is its `build` in the inventory, does not fit it: it has x86_64"),
        (
            (MIDDLE, msgspec.structs.replace(MIDDLE, name="twin"), OLD),
            host(),
            "",
            "web1: middle and twin are of the same kind and fit it alike: middle has x86_64, glibc 2.36",
        ),
        (
            (ALPINE, msgspec.structs.replace(ALPINE, name="twin")),
            host(MUSL),
            "",
            "alpine and twin are of the same kind",
        ),
    ],
)
def test_where_nothing_fits_or_two_do_one_message_names_all(
    offers: Sequence[Offer], have: HostFacts, pin: str, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        fit(offers, {"web1": have}, {"web1": pin} if pin else {})


def test_two_of_a_kind_are_no_matter_where_neither_would_be_chosen() -> None:
    offers = (OLD, msgspec.structs.replace(OLD, name="twin"), MIDDLE)
    assert fit(offers, {"web1": host()}) == {"web1": "middle"}
    assert fit(offers, {"web1": host("glibc 2.31")}, {"web1": "twin"}) == {"web1": "twin"}


def test_an_artifact_that_needs_another_openssl_does_not_fit() -> None:
    offers = [
        msgspec.structs.replace(OLD, libcrypto="libcrypto.so.3"),
        msgspec.structs.replace(MIDDLE, libcrypto="libcrypto.so.1.1"),
    ]
    assert fit(offers, {"web1": host()}, what="artifact") == {"web1": "old"}
    with pytest.raises(Refused, match="no artifact fits it"):
        fit(offers[1:], {"web1": host()}, what="artifact")


# Two kinds of host.

BUILT_OLD = artifact()
BUILT_NEW = artifact(
    sha256="sum of the new kind", toolchain=msgspec.structs.replace(TOOLS, libc="glibc 2.41", os="Debian 13")
)
BOTH = {"web1": host(), "web2": host("glibc 2.41", system="Debian 13")}


def artifacts() -> Artifacts:
    return Artifacts({"web1": BUILT_OLD, "web2": BUILT_NEW}, {name: platform_of(it) for name, it in BOTH.items()})


def test_all_kinds_get_a_release_of_one_name_and_one_label() -> None:
    plan = plan_deploy(INVENTORY, BOTH, artifacts(), NOW, force=False, migrate=True)

    assert len({(step.release, step.label) for step in plan.hosts}) == 1
    assert [step.about.sha256 for step in plan.hosts] == ["sum of 2.0", "sum of the new kind"]
    assert plan.label == BUILT_OLD.label
    assert [host.name for host in plan.migrate_on] == ["web2"]


def test_a_host_of_another_kind_that_joins_gets_the_name_and_commit_of_the_others() -> None:
    there = release("1", "2.0")
    there = msgspec.structs.replace(there, artifact=msgspec.structs.replace(there.artifact, commit="e" * 40))
    plan = plan_deploy(INVENTORY, {**BOTH, "web1": facts(there)}, artifacts(), NOW, force=False, migrate=False)

    joined = plan.hosts[1]
    assert (joined.release, joined.upload) == ("20261121T000000Z", True)
    assert (joined.about.commit, joined.about.sha256) == ("e" * 40, "sum of the new kind")


def test_a_host_that_answers_something_else_than_before_is_refused() -> None:
    moved = {**BOTH, "web1": host("glibc 2.41", system="Debian 13")}

    with pytest.raises(
        Refused, match=r"web1: it has x86_64, glibc 2.41 \(Debian 13\) now; it answered x86_64, glibc 2.36"
    ):
        plan_deploy(INVENTORY, moved, artifacts(), NOW, force=False, migrate=False)


def test_an_artifact_that_fits_some_hosts_only_is_refused_and_the_others_are_named() -> None:
    with pytest.raises(
        Refused, match=r"web1: its C library is glibc 2\.36 .* \(and 1 more: web2\); nothing was changed"
    ):
        plan_deploy(
            INVENTORY, {"web1": host(), "web2": host()}, to_all(BUILT_NEW, BOTH), NOW, force=False, migrate=False
        )


def test_a_host_that_was_left_out_of_the_choice_counts_as_out_of_reach() -> None:
    with pytest.raises(Unreachable, match="web3: it did not answer when artifacts were chosen"):
        artifacts().of("web3")


# The record of what is live.


def put(digest: str, *others: str, release: str = "R1", commit: str = "c") -> PutLive:
    return PutLive(digest, commit, "s", False, release, others)


@pytest.mark.parametrize(
    ("before", "live", "expected"),
    [
        (None, put("a", "b"), put("a", "b")),
        (put("a", "b"), put("b"), put("a", "b")),
        (put("a"), put("b"), put("a", "b")),
        # Another commit of the same source keeps the first; another release replaces all.
        (put("a", "b"), put("a", "b", commit="d"), put("a", "b")),
        (put("a", "b"), put("a", "b", release="R2"), put("a", "b", release="R2")),
        # Another -H, and so another name.
        (put("a"), put("b", release="R2"), put("b", "a", release="R2")),
        (put("a", "b"), put("x", commit="d"), put("x", commit="d")),
    ],
)
def test_artifacts_of_all_kinds_of_a_release_stay_recorded(
    tmp_path: Path, before: PutLive | None, live: PutLive, expected: PutLive
) -> None:
    store = DirectoryStore(tmp_path / "store")
    if before is not None:
        store.note_live("stage", before)
    note_live(store, "stage", live)
    assert store.last_live("stage") == expected


def test_a_record_of_one_kind_is_as_earlier_versions_wrote_it(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    note_live(store, "stage", put("a"))
    assert "others" not in store.live_file("stage").read_text()


def test_a_rollback_of_two_kinds_records_the_artifacts_of_both() -> None:
    plan = plan_deploy(INVENTORY, BOTH, artifacts(), NOW, force=False, migrate=False)
    live = rolled_back(plan)
    assert live is not None and live.digests == ("sum of 2.0", "sum of the new kind")


# The builds that are needed.

HOSTS = {
    "web1": Host(name="web1"),
    "web2": Host(name="web2"),
    "build1": Host(name="build1", roles=("build",)),
    "build2": Host(name="build2", roles=("build",)),
}


def recipe(libc: str, key: str, **tools: str) -> Recipe:
    return msgspec.structs.replace(RECIPE, key=key, toolchain=msgspec.structs.replace(TOOLS, libc=libc, **tools))


RECIPES: dict[str, Recipe | Problem] = {
    "build1": recipe("glibc 2.36", "1"),
    "build2": recipe("glibc 2.41", "2", os="Debian 13", otp="27"),
}
Choose = Callable[..., tuple[Builds, list[Event], list[str]]]


def fleet_of(hosts: dict[str, Host], *only: str) -> Fleet:
    chosen = {name: it for name, it in hosts.items() if not only or name in only}
    return Fleet(Inventory(name="e", file=Path("e.yml"), org="o", app="a", hosts=chosen, all_hosts=hosts))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Answers of the hosts, and the names of those that were asked."""
    found = SimpleNamespace(facts=dict[str, Any](BOTH), recipes=dict(RECIPES), asked=[])

    def look(fleet: Fleet, hosts: Sequence[Host], emit: object) -> dict[str, Any]:
        found.asked += [it.name for it in hosts]
        return {it.name: found.facts[it.name] for it in hosts}

    def ask(fleet: Fleet, hosts: Sequence[Host], source: object, emit: object, pull: str | None = None) -> Any:
        found.asked += [it.name for it in hosts]
        return {it.name: found.recipes[it.name] for it in hosts}

    monkeypatch.setattr(builds, "look", look)
    monkeypatch.setattr(lock, "look", look)
    monkeypatch.setattr(builds, "ask_recipes", ask)
    return found


def choose(hosts: dict[str, Host], *only: str, emit: Callable[[Event], None] = silent) -> Builds:
    return choose_builds(fleet_of(hosts, *only), HostSelection(), RECIPE.source, emit)


def test_each_host_gets_what_its_own_build_host_makes_and_other_tools_are_told(world: SimpleNamespace) -> None:
    events: list[Event] = []
    chosen = choose(HOSTS, emit=events.append)

    assert chosen.by_host == {"web1": "build1", "web2": "build2"}
    warned = [it.text for it in events if isinstance(it, Warn)]
    assert len(warned) == 1 and "build1 has Elixir 1.14.0 and Erlang/OTP 25; build2 has" in warned[0]


def test_a_build_host_that_no_host_needs_does_not_build(world: SimpleNamespace) -> None:
    events: list[Event] = []
    chosen = choose(HOSTS, "web1", emit=events.append)

    assert [*chosen.recipes] == ["build1"]
    assert not [it for it in events if isinstance(it, Warn)]


def test_with_one_build_host_no_host_is_asked_what_it_is(world: SimpleNamespace) -> None:
    for hosts, only in (
        ({name: it for name, it in HOSTS.items() if name != "build2"}, ()),
        (HOSTS, ("web1", "build1")),
    ):
        world.asked.clear()
        assert set(choose(hosts, *only).by_host.values()) == {"build1"}
        assert world.asked == ["build1"]


def test_where_all_hosts_name_their_build_host_the_others_are_not_asked(world: SimpleNamespace) -> None:
    pinned = {**HOSTS, "web1": Host(name="web1", build="build1"), "web2": Host(name="web2", build="build1")}
    assert choose(pinned).by_host == {"web1": "build1", "web2": "build1"}
    assert world.asked == ["build1"]


def test_a_build_host_out_of_reach_stops_only_hosts_that_may_need_it(world: SimpleNamespace) -> None:
    world.recipes["build2"] = Unreachable("no answer", host="build2")
    with pytest.raises(Unreachable, match="build2: no answer; web2 may need what is built there"):
        choose(HOSTS)

    events: list[Event] = []
    assert choose(HOSTS, "web1", emit=events.append).by_host == {"web1": "build1"}
    assert "build2: no answer: going on" in str(events)


def test_build_on_host_builds_what_is_needed_or_on_the_hosts_that_are_named(world: SimpleNamespace) -> None:
    def needed(*only: str) -> list[str]:
        return [*needed_recipes(fleet_of(HOSTS, *only), RECIPE.source, silent)]

    assert needed() == ["build1", "build2"]
    assert needed("web2") == ["build2"]
    assert needed("build1") == ["build1"]
    world.facts["web2"] = host()
    assert needed() == ["build1"]
    # A CI runner may not reach the app hosts.
    world.facts["web1"] = Unreachable("no answer", host="web1")
    assert needed() == ["build1", "build2"]


def test_where_no_app_host_answers_none_of_them_can_be_left_out(world: SimpleNamespace) -> None:
    world.facts["web1"] = Unreachable("no answer", host="web1")
    with pytest.raises(Refused, match="web1: no answer"):
        choose_builds(fleet_of(HOSTS, "web1"), HostSelection(skip_unreachable=True), RECIPE.source, silent)


def test_a_plan_needs_no_build_host(world: SimpleNamespace) -> None:
    alone = {name: it for name, it in HOSTS.items() if name.startswith("web")}
    assert builders_to_show(fleet_of(alone), RECIPE.source) == {}
    assert builders_to_show(fleet_of(HOSTS), RECIPE.source) == {"web1": "build1", "web2": "build2"}


def test_all_failed_builds_are_told() -> None:
    one = Failed("mix compile failed", "mend it", ("line 1",), host="build1")
    two = Failed("mix release failed", "", ("line 2",), host="build2")
    with pytest.raises(Failed, match=r"build1: mix compile failed \(and 1 more: build2\)") as raised:
        build._all_made({"build1": one, "build2": two})
    assert raised.value.details == ("line 2", "build2: mix release failed", "line 1")

    with pytest.raises(Failed) as alone:
        build._all_made({"build1": one, "build2": ("key", BUILT_OLD)})
    assert alone.value is one


def test_the_same_recipe_of_two_build_hosts_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def built(fleet: object, recipes: dict[str, Recipe], *args: object, **kwargs: object) -> dict[str, Any]:
        asked.extend(recipes)
        return {name: (it.key, artifact(it.key)) for name, it in recipes.items()}

    monkeypatch.setattr(build, "build_recipes", built)
    recipes = {"build1": recipe("glibc 2.36", "1"), "build2": recipe("glibc 2.36", "1"), "build3": recipe("glibc", "3")}
    made: dict[str, tuple[str, Artifact]] = build.find_or_build(
        fleet_of(HOSTS), recipes, DirectoryStore(tmp_path / "store"), silent
    )
    assert asked == ["build1", "build3"]
    assert {name: key for name, (key, _) in made.items()} == {"build1": "1", "build2": "1", "build3": "3"}
