"""The builds that a deploy needs: which build host makes the artifact of which app host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from warpbeam.build.artifact import Artifact
from warpbeam.build.build import ask_recipes, build_hosts
from warpbeam.build.recipe import Recipe
from warpbeam.build.source import Source
from warpbeam.deploy.fitting import Artifacts, Offer, Platform, fit, platform_of
from warpbeam.deploy.lock import look, ready_facts
from warpbeam.error import Problem, restated
from warpbeam.event import Emit, Note, Warn, silent
from warpbeam.fleet.fleet import Fleet
from warpbeam.fleet.selection import HostSelection
from warpbeam.fleet.work import gravest_problem, raise_gravest
from warpbeam.host.facts import HostFacts
from warpbeam.inventory.schema import Host


class Builds(msgspec.Struct, frozen=True):
    """Which build host makes the artifact of which app host (`by_host`), and the recipes of those that are needed.

    `platforms` are what the app hosts answered; empty where one build host alone is there to choose.
    """

    by_host: Mapping[str, str]
    recipes: Mapping[str, Recipe]
    platforms: Mapping[str, Platform] = {}

    def artifacts(self, made: Mapping[str, tuple[str, Artifact]]) -> Artifacts:
        """Return which artifact goes to which app host, once all are `made`, by build host."""
        by_host = {host: made[builder][1] for host, builder in self.by_host.items()}
        return Artifacts(by_host, self.platforms)


def choose_builds(
    fleet: Fleet, selection: HostSelection, source: Source, emit: Emit, *, pull: str | None = None
) -> Builds:
    """Return which build host makes what for each app host of `selection`. Only several build hosts make it ask those.

    Parameters:
        pull: whether images of containers are pulled, in place of the inventory's own word.

    Raises:
        Misuse: no host has the role build.
        Refused: a host or a build host cannot be asked, no build host fits a host, or two of the same kind do.
    """
    hosts = selection.hosts(fleet.inventory)
    builders = _candidates(fleet, hosts)
    if len(builders) == 1:
        return only_builder(fleet, builders[0], [host.name for host in hosts], source, emit)
    return fitting_builds(fleet, builders, ready_facts(fleet, selection), source, emit, pull=pull)


def needed_recipes(fleet: Fleet, source: Source, emit: Emit) -> dict[str, Recipe]:
    """Return the recipes of the build hosts that -H names; without one, of those that app hosts need.

    Where an app host cannot be asked what it needs, every build host counts as needed.

    Raises: as `choose_builds`.
    """
    inventory = fleet.inventory
    builders, hosts = build_hosts(inventory), inventory.app_hosts
    narrowed = len(inventory.hosts) < len(inventory.all_hosts)
    if len(builders) > 1 and not (narrowed and builders[0].name in inventory.hosts):
        found = look(fleet, hosts, silent)
        away = [name for name, have in found.items() if isinstance(have, Problem)]
        facts = {name: have for name, have in found.items() if isinstance(have, HostFacts)}
        if facts and not away:
            return dict(fitting_builds(fleet, _candidates(fleet, hosts), facts, source, emit).recipes)
        why = f"{', '.join(away)} cannot be asked" if away else "no app host is chosen"
        emit(Note("", f"every build host builds: {why}"))
    return _recipes_of(fleet, builders, source, emit)


def _recipes_of(fleet: Fleet, builders: Sequence[Host], source: Source, emit: Emit) -> dict[str, Recipe]:
    """Return the recipe of each build host. Raises: the gravest problem of one that has none."""
    answers = ask_recipes(fleet, builders, source, emit)
    raise_gravest(answers)
    return {name: answer for name, answer in answers.items() if isinstance(answer, Recipe)}


def builders_to_show(fleet: Fleet, source: Source) -> dict[str, str]:
    """Return which build host would build for each app host, by its name; empty where one alone builds for all.

    Raises: as `choose_builds`.
    """
    selection = HostSelection()
    # A CI inventory may have no build host: a plan builds nothing.
    if not fleet.inventory.build_hosts or len(_candidates(fleet, selection.hosts(fleet.inventory))) < 2:
        return {}
    return dict(choose_builds(fleet, selection, source, silent, pull="never").by_host)


def _candidates(fleet: Fleet, hosts: Sequence[Host]) -> list[Host]:
    """Return the build hosts that may build for `hosts`: those that hosts name, and all where one names none."""
    inventory = fleet.inventory
    named = dict.fromkeys(host.build for host in hosts if host.build)
    others = () if hosts and all(host.build for host in hosts) else build_hosts(inventory)
    known = {host.name: host for host in (*others, *(inventory.all_hosts[name] for name in named))}
    return list(known.values())


def only_builder(fleet: Fleet, builder: Host, hosts: Sequence[str], source: Source, emit: Emit) -> Builds:
    """Return that `builder` makes the artifact of all `hosts`, whatever they are: the plan refuses where one is unfit.

    Raises: Refused, where its tools are not what the source asks for.
    """
    return Builds(dict.fromkeys(hosts, builder.name), _recipes_of(fleet, [builder], source, emit))


def fitting_builds(
    fleet: Fleet,
    builders: Sequence[Host],
    facts: Mapping[str, HostFacts],
    source: Source,
    emit: Emit,
    *,
    pull: str | None = None,
) -> Builds:
    """Return the builds for the hosts of `facts`, each by the build host that fits it.

    Parameters and errors as `choose_builds`.
    """
    answers = ask_recipes(fleet, builders, source, emit, pull=pull)
    recipes = {name: answer for name, answer in answers.items() if isinstance(answer, Recipe)}
    offers = [Offer(name, platform_of(recipe.toolchain)) for name, recipe in recipes.items()]
    hosts = fleet.inventory.all_hosts
    pins = {name: pin for name in facts if (pin := hosts[name].build)}
    _check_answers(answers, offers, facts, pins, emit)
    by_host = fit(offers, facts, pins)
    needed = {name: recipe for name, recipe in recipes.items() if name in by_host.values()}
    _emit_builds(by_host, needed, emit)
    return Builds(by_host, needed, {name: platform_of(have) for name, have in facts.items()})


def _check_answers(
    answers: Mapping[str, Recipe | Problem],
    offers: Sequence[Offer],
    facts: Mapping[str, HostFacts],
    pins: Mapping[str, str],
    emit: Emit,
) -> None:
    """Check that the build hosts that did not answer could not change the choice; warn of them.

    Raises: their gravest problem, where a host has neither a build host of exactly its kind nor names one that answers.
    """
    gravest = gravest_problem(answers)
    if gravest is None:
        return
    settled = {offer.name for offer in offers}
    waiting = [
        name
        for name, have in facts.items()
        if pins.get(name) not in settled
        and (name in pins or not any(offer.platform.is_like(platform_of(have)) for offer in offers))
    ]
    if waiting:
        raise restated(gravest, type(gravest), f"; {', '.join(waiting)} may need what is built there")
    for problem in answers.values():
        if isinstance(problem, Problem):
            emit(Warn("", f"{problem.message}: going on, since no host here needs what is built there"))


def _emit_builds(by_host: Mapping[str, str], recipes: Mapping[str, Recipe], emit: Emit) -> None:
    """Emit which hosts get the artifact of which build host; warn where the tools of these differ."""
    for builder, recipe in recipes.items():
        names = ", ".join(name for name, chosen in by_host.items() if chosen == builder)
        emit(Note(builder, f"has {platform_of(recipe.toolchain)}: its release goes to {names}"))
    tools = {name: (recipe.toolchain.elixir, recipe.toolchain.otp) for name, recipe in recipes.items()}
    if len(set(tools.values())) > 1:
        each = "; ".join(f"{name} has Elixir {elixir} and Erlang/OTP {otp}" for name, (elixir, otp) in tools.items())
        emit(Warn("", f"one commit, different tools: {each}; with .tool-versions all build with the same"))
