"""The text of plain `fab`, without any word: the environments, the first steps, where there is more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Columns of the words of a command.
COLUMNS = 28
MORE = (
    ("fab --list", "every task"),
    ("fab --help deploy", "what a task does, and its options"),
    ("fab --help", "the options of fab itself"),
)


def welcome(environments: Sequence[str], inventory: Path) -> list[str]:
    """Return the lines of the text; `inventory` is the directory of environments."""
    from warpbeam.inventory.files import seen

    lines = ["Usage: fab ENVIRONMENT TASK [--options] [TASK ...]", "", "Environments:", ""]
    lines += [f"  {name:<16}{seen(inventory / name)}.yml" for name in environments]
    own = [name for name in environments if name != "demo"]
    if not own:
        lines.append(f"  {'(your own)':<16}`fab init` writes it; {seen(inventory / 'example.yml')} has every key")
    steps = _first_steps(environments)
    if steps:
        width = max(COLUMNS, *(len(words) + 2 for words, _ in steps))
        lines += ["", "First:", ""]
        lines += [f"  fab {words.ljust(width)}{text}" for words, text in steps]
    lines += ["", "More:", ""]
    lines += [f"  {words.ljust(COLUMNS + 4)}{text}" for words, text in MORE]
    return lines


def _first_steps(environments: Sequence[str]) -> list[tuple[str, str]]:
    """Return commands for the first environment of a person's own, else for the demo, each with what it does."""
    own = [name for name in environments if name != "demo"]
    name = next(iter(own or environments), "")
    if not name:
        return []
    if own:
        begin = (f"{name} hosts.trust", "record the hosts' keys, after looking at them")
    else:
        begin = ("lab.up", "boot the demo's hosts (or: script/demo)")
    return [
        begin,
        (f"{name} setup --check", "what setup would change on the hosts"),
        (f"{name} setup", "once, and whenever the inventory changes"),
        (f"{name} deploy", "build HEAD and put it live on every host"),
        (f"{name} status", "what runs now"),
    ]
