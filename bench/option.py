"""The options of a run: which of all measurements it makes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import msgspec

from bench.network import NETWORKS, Network
from bench.release import APPS, App

Case = Literal["first", "change"]
CASES: tuple[Case, ...] = get_args(Case)
PEERS = ("warpbeam", "capistrano", "ansible", "pyinfra", "floor")


class Options(msgspec.Struct, frozen=True):
    """The measurements to make, how often, and where."""

    hosts: tuple[int, ...]
    cases: tuple[str, ...]
    apps: tuple[App, ...]
    networks: tuple[Network, ...]
    peers: tuple[str, ...]
    repetitions: int
    lab: str
    keep: bool
    only_show: bool


def read_options(words: Sequence[str]) -> Options:
    """Return the options of the command line; exit when it is not valid."""
    parser = argparse.ArgumentParser(prog="script/bench", description="Deploys side by side; see bench/README.md.")
    add = parser.add_argument
    add("--hosts", type=_numbers, default=(1, 10, 50), help="how many, such as 1,10 (default 1,10,50)")
    for name, known in (("cases", CASES), ("apps", APPS), ("networks", NETWORKS), ("peers", PEERS)):
        add(f"--{name}", type=_words(name, known), default=known, help=f"some of {','.join(known)} (default all)")
    add("--repetitions", type=int, default=5, help="how often each peer deploys in each setting (default 5)")
    add("--lab", default="wbbench", help="the name of the lab (default wbbench)")
    add("--keep-lab", action="store_true", help="leave the lab running, for a quicker next run")
    add("--only-show", action="store_true", help="measure nothing: make table and plot of what is kept")
    given = parser.parse_args(words)
    return Options(
        given.hosts,
        given.cases,
        given.apps,
        given.networks,
        given.peers,
        max(1, given.repetitions),
        given.lab,
        given.keep_lab,
        given.only_show,
    )


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(word) for word in text.split(",")}))
    if not all(0 < number < 190 for number in numbers):
        raise argparse.ArgumentTypeError("expected numbers of hosts from 1 to 189")
    return numbers


def _words(name: str, known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        if unknown := sorted(set(words) - set(known)):
            raise argparse.ArgumentTypeError(f"no such {name}: {', '.join(unknown)}; there is {', '.join(known)}")
        return tuple(word for word in known if word in words)

    return read
