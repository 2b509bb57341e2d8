"""The target of a deploy: where it comes from, and what is looked at before a build."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.deploy.test_plan import artifact
from warpbeam.build import build
from warpbeam.build.artifact import Artifact
from warpbeam.build.recipe import Recipe
from warpbeam.build.source import Source
from warpbeam.deploy import builds, target
from warpbeam.deploy.target import TargetRequest, find_target
from warpbeam.error import Misuse, Refused
from warpbeam.event import silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.inventory.schema import Host, Inventory

MADE = artifact()
SOURCE = Source(Path(), Path(), "", "c" * 40, "t" * 40, "subject")
RECIPE = Recipe(SOURCE, Inventory(org="o", app="a", hosts={}), MADE.manifest.toolchain, "", "", "key")


def fleet_with(*roles: str) -> Fleet:
    hosts = {"host1": Host(name="host1", roles=roles)}  # type: ignore[arg-type]
    return Fleet(Inventory(name="e", file=Path("e.yml"), org="o", app="a", hosts=hosts, all_hosts=hosts))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace what asks hosts and git; return the names of these steps, in the order in which they are taken."""
    taken: list[str] = []

    def step(module: ModuleType, name: str, result: object = None) -> None:
        def take(*args: object, **kwargs: object) -> object:
            taken.append(name)
            return result

        monkeypatch.setattr(module, name, take)

    step(target, "source_of")
    step(builds, "ask_recipes", {"host1": RECIPE})
    step(build, "find_stored")
    step(target, "ready_facts")
    step(build, "build_recipes", {"host1": ("key", MADE)})
    return taken


def find(asked: TargetRequest, *roles: str) -> Artifact:
    return find_target(fleet_with(*(roles or ("app", "build"))), asked, HostSelection(), silent).artifacts.of("host1")


def test_what_is_not_kept_is_built_once_the_hosts_are_ready(steps: list[str], tmp_path: Path) -> None:
    assert find(TargetRequest(tmp_path)) is MADE
    assert steps == ["source_of", "ask_recipes", "find_stored", "ready_facts", "build_recipes"]


def test_what_is_kept_is_taken_without_a_further_look_at_the_hosts(
    steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = artifact("3.0")
    monkeypatch.setattr(build, "find_stored", lambda *args: kept)

    assert find(TargetRequest(tmp_path)) is kept
    assert steps == ["source_of", "ask_recipes"]


def test_a_rebuild_does_not_ask_what_is_kept(steps: list[str], tmp_path: Path) -> None:
    find(TargetRequest(tmp_path, anew=True))

    assert steps == ["source_of", "ask_recipes", "ready_facts", "build_recipes"]


def test_nothing_is_built_where_a_host_is_not_ready(
    steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise Refused("it is not set up")

    monkeypatch.setattr(target, "ready_facts", refuse)

    with pytest.raises(Refused, match="it is not set up"):
        find(TargetRequest(tmp_path))
    assert "build_recipes" not in steps


def test_without_a_build_host_nothing_is_asked(steps: list[str], tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="no host has the role build"):
        find(TargetRequest(tmp_path), "app")
    assert steps == ["source_of"]


def test_only_a_noted_target_has_the_store_that_notes_it(steps: list[str], tmp_path: Path) -> None:
    fleet = fleet_with("app", "build")

    assert find_target(fleet, TargetRequest(tmp_path), HostSelection(), silent).store is not None
    assert find_target(fleet, TargetRequest(tmp_path, noted=False), HostSelection(), silent).store is None
