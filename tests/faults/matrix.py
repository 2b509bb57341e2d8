"""The fault matrix: every step that the scripts of a command tell, times every fault, for both strategies.

It is generated: the steps are read from the shell files of `warpbeam/`, so that a new step is a new row. A cell whose
moment never comes is untried, and a full run fails on it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec

from warpbeam.deploy.activate import JOBS
from warpbeam.deploy.strategy import STRATEGIES as KNOWN

# The scripts that run on hosts, by name; those of the lab run on this machine, and the helper has no steps.
PACKAGE = Path(__file__).parents[2] / "warpbeam"
SCRIPTS = {
    file.stem: file for file in PACKAGE.rglob("*.sh") if file.parent.name not in {"job", "strategy", "lab", "helper"}
}
# The job's own parts, and those of its strategies, in the order in which they tell their steps.
OF_THE_JOB = tuple(
    dict.fromkeys(
        PACKAGE / f"{part}.sh"
        for job in JOBS.values()
        for part in job.parts
        if part.startswith(("deploy/job/", "deploy/strategy/"))
    )
)
STRATEGIES = tuple(KNOWN)

# The scripts that run on an app host, in this order, for each command.
COMMANDS = {
    "deploy": ("claim", "upload", "migrate", "job", "prune"),
    "rollback": ("claim", "verify", "job", "prune"),
    "restart": ("claim", "verify", "job", "prune"),
}
# Scripts that tell steps too, but in other commands, or when one of these was interrupted.
ELSEWHERE = frozenset(
    [
        "admit",
        "after_reboot",
        "assets",
        "build",
        "cancel",
        "converge",
        "examine",
        "firewall",
        "follow",
        "maintenance",
        "power",
        "reboot",
        "secrets",
        "signatures",
    ]
)
# Steps that come only under a strategy, or only when something else happens first.
ONLY = {"job.drain": "blue-green", "job.back": "blue-green"}
# A second fault that a step needs to come; see `fault_case`.
BROUGHT_BY = {
    "job.undo": "unhealthy",
    "job.back": "death-in-drain",
    "job.balancer": "balancer",
}

# Faults that can happen at any step.
MOMENTARY = (
    "fab-term",
    "fab-kill",
    "fab-int",
    "cut",
    "reset",
    "crash",
    "power-loss",
    "kill-live",
    "kill-new",
    "disk-full",
    "inodes-full",
    "two-deploys",
)
# Faults that last from before the command to its end, each with the commands that can have it.
LASTING = {
    "clock-back": tuple(COMMANDS),
    "current-dangling": tuple(COMMANDS),
    "current-missing": tuple(COMMANDS),
    "slot-dangling": tuple(COMMANDS),
    "crash-at-boot": ("deploy",),
    "crash-after-2s": ("deploy",),
    "hang": ("deploy",),
    "unhealthy": ("deploy",),
    "migrate-fails": ("deploy",),
}
# Versions of releases that are good.
GOOD = ("9.0.1", "9.0.2")
BAD_RELEASES = ("crash-at-boot", "crash-after-2s", "hang", "unhealthy", "migrate-fails")
# There is no new instance before.
NEW_FROM = "start"


class Cell(msgspec.Struct, frozen=True):
    """One cell: `step` is SCRIPT.STEP, or empty for what lasts the whole of `command`."""

    strategy: str
    step: str
    fault: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.strategy} {self.step or f'throughout {self.command}'} {self.fault}"


class Case(msgspec.Struct, frozen=True):
    """A cell to try, with what the seed decides: the command, how many hosts, how long after the step (seconds)."""

    number: int
    seed: int
    cell: Cell
    command: str
    hosts: tuple[str, ...]
    victim: str
    delay: float

    def __str__(self) -> str:
        where = f"{self.victim} of {','.join(self.hosts)}, {self.delay * 1000:.0f} ms after"
        return f"seed {self.seed} case {self.number}: {self.command}, {self.cell}, {where}"


def text_of(script: str) -> str:
    """The text of a script; that of the job has the texts of its parts after it."""
    files = (SCRIPTS[script], *(OF_THE_JOB if script == "job" else ()))
    return "".join(file.read_text() for file in files)


def steps_of(script: str) -> tuple[str, ...]:
    """The steps that a script tells, in the order of its text, each once."""
    told = re.findall(r"(?:^|[;&|{(]|then|do|else)[ \t]*step ([a-z][a-z0-9-]*)", text_of(script), re.MULTILINE)
    return tuple(dict.fromkeys(told))


def telling() -> frozenset[str]:
    """The scripts that tell any step."""
    return frozenset(script for script in SCRIPTS if steps_of(script))


def steps(command: str) -> tuple[str, ...]:
    """SCRIPT.STEP of everything a command tells on an app host."""
    return tuple(f"{script}.{step}" for script in COMMANDS[command] for step in steps_of(script))


def cells() -> tuple[Cell, ...]:
    """The whole matrix."""
    every = dict.fromkeys(step for command in COMMANDS for step in steps(command))
    momentary = (
        Cell(strategy, step, fault)
        for strategy, step, fault in product(STRATEGIES, every, MOMENTARY)
        if ONLY.get(step, strategy) == strategy and (fault != "kill-new" or _has_new(strategy, step))
    )
    lasting = (
        Cell(strategy, "", fault, command)
        for strategy, fault in product(STRATEGIES, LASTING)
        for command in LASTING[fault]
    )
    return (*momentary, *lasting)


def _has_new(strategy: str, step: str) -> bool:
    if step == "job.stop-old":
        return strategy == "blue-green"
    script, _, name = step.partition(".")
    order = list(COMMANDS["deploy"])
    # verify.sh comes before anything is begun.
    if script not in order:
        return False
    here, job = order.index(script), order.index("job")
    names = steps_of("job")
    return here > job or (here == job and names.index(name) >= names.index(NEW_FROM))


def commands_for(cell: Cell) -> tuple[str, ...]:
    """The commands in which a cell can be tried."""
    if cell.command:
        return (cell.command,)
    if BROUGHT_BY.get(cell.step) == "unhealthy":
        return ("deploy",)
    return tuple(command for command in COMMANDS if cell.step in steps(command))


def cases(seed: int, count: int) -> Iterator[Case]:
    """`count` cases (0: every cell once), shuffled by `seed`; after the last cell they begin again, otherwise drawn."""
    order = list(cells())
    random.Random(seed).shuffle(order)
    for number in range(count or len(order)):
        yield draw(seed, number, order[number % len(order)])


def draw(seed: int, number: int, cell: Cell) -> Case:
    """The case of that number: a cell, and chance."""
    chance = random.Random(f"{seed} {number}")
    command = chance.choice(commands_for(cell))
    hosts: tuple[str, ...] = chance.choice((("web1",), ("web1",), ("web1",), ("web1", "web2")))
    # Migrations run on the first host only; and who is not told to go back may never come to be undone.
    victim = chance.choice(hosts) if cell.step.startswith("job.") else hosts[0]
    if cell.step in BROUGHT_BY or not cell.step:
        victim = hosts[0]
    return Case(number, seed, cell, command, hosts, victim, chance.random() * 0.3)


def occurrence(case: Case) -> int:
    """The how-manieth line `VICTIM: STEP` is the step's, because scripts before its own may tell the same word."""
    script, _, name = case.cell.step.partition(".")
    before = COMMANDS[case.command][: COMMANDS[case.command].index(script)]
    return 1 + sum(name in steps_of(earlier) for earlier in before)
