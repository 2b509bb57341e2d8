"""The texts of `fab --list` and `fab --help TASK` for every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from invoke import Collection, Exit

from tasks import assemble
from warpbeam.cli.task_list import OVERRIDING, VALUES
from warpbeam.inventory.option import option_of

PROJECT = Path(__file__).parents[3]
NAMESPACE: Collection = assemble(PROJECT, PROJECT / "inventory")
# `fab --list` wraps sentences beside a column of names; a longer one would take too many lines.
LONGEST = 110


@pytest.mark.parametrize("name", sorted(NAMESPACE.task_names))
def test_every_task_says_in_one_sentence_what_it_does(name: str) -> None:
    text = (NAMESPACE[name].__doc__ or "").strip()

    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) <= LONGEST


@pytest.mark.parametrize("name", sorted(NAMESPACE.task_names))
def test_every_option_is_explained_and_says_which_value_it_takes(name: str) -> None:
    task: Any = NAMESPACE[name]

    for argument in task.get_arguments():
        assert argument.help, f"fab --help {name}: --{argument.name} has no help"
        assert not argument.help.endswith(".")
        overriding = OVERRIDING.fullmatch(argument.help)
        if overriding is not None:
            option = option_of(overriding["section"], overriding["key"])
            assert option.flag == f"--{argument.name.replace('_', '-')}"
        elif argument.takes_value:
            assert argument.name.replace("_", "-") in VALUES, f"fab --help {name}: --{argument.name}"


def test_no_option_has_a_short_flag_but_those_that_were_given_one() -> None:
    short = {
        (name, flag)
        for name in NAMESPACE.task_names
        for argument in NAMESPACE[name].get_arguments()
        for flag in argument.names
        if len(flag) == 1
    }

    assert short == {("logs", "f"), ("logs", "n")}


@pytest.mark.parametrize("name", ["status", "firewall", "deploy", "remote-console"])
def test_an_inventory_may_not_take_the_name_of_a_task(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.yml").touch()

    with pytest.raises(Exit, match=f"`{name}` is the name of a task") as stopped:
        assemble(PROJECT, tmp_path)

    assert stopped.value.code == 2


def test_every_inventory_is_a_word_that_says_which_file_it_is(tmp_path: Path) -> None:
    (tmp_path / "production.yml").touch()

    word: Any = assemble(PROJECT, tmp_path)["production"]

    assert word.environment == tmp_path / "production.yml"
    assert word.__doc__ == "(environment) Use inventory/production.yml for the tasks that follow."
