"""The list of tasks in groups, and the values that options take, as `fab --list` and `fab --help TASK` show them."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The default task of a group is listed with the group's own name as its alias (Invoke, program.py, `_make_pairs`).
DEFAULT = re.compile(r"(?P<group>\S+)\.\S+ \((?P=group)\)")
ENVIRONMENT = "(environment) "

ENVIRONMENTS, OWN = "Environments", "Your own"
# The titles of the groups in the order of a first day, and the tasks of each. A word with a dot at its end stands for
# all tasks that begin with it. Tasks of a person's own fabfile are in no group here and come before these.
GROUPS: dict[str, tuple[str, ...]] = {
    "Begin": ("init", "init.", "config"),
    "Deploy": ("build-on-host", "deploy", "deploy.", "plan", "releases", "rollback", "history", "lock.", "artifacts."),
    "Operate": (
        *("status", "logs", "remote-console", "rpc", "eval"),
        *("restart", "start", "stop", "maintenance.", "version"),
    ),
    "Hosts": ("hosts.", "setup", "doctor", "inventory."),
    "Other tools": ("codedeploy.",),
    "Security": ("secrets.", "firewall."),
    "Lab (throwaway hosts on this machine)": ("lab.",),
}
# The help of an option that overrides a key of the inventory: the schema explains it.
OVERRIDING = re.compile(r"in place of `(?P<section>\w+): (?P<key>\w+)` of the inventory")
# Words for the values of other options, in place of Invoke's STRING and INT.
VALUES = {
    "app-hosts": "ADDRESSES",
    "build-host": "ADDRESS",
    "artifact": "KEY|FILE",
    "expression": "EXPRESSION",
    "grep": "PATTERN",
    "host": "HOST",
    "hosts": "N",
    "jobs": "N",
    "keep": "N",
    "key": "KEY",
    "lines": "N",
    "message": "TEXT",
    "name": "LAB",
    "opt-size": "MIB",
    "org": "NAME",
    "output": "FILE",
    "reason": "TEXT",
    "ref": "COMMIT",
    "release": "live",
    "release-name": "NAME",
    "since": "TIME",
    "skip": "HOST",
    "slot": "a|b",
    "source": "DIRECTORY",
    "suite": "DEBIAN",
    "timeout": "SECONDS",
    "to": "RELEASE",
    "wait": "SECONDS",
}


def group_of(name: str) -> str:
    """Return the title of the group that a task is listed in."""
    for title, names in GROUPS.items():
        if name in names or any(each.endswith(".") and name.startswith(each) for each in names):
            return title
    return OWN


def grouped(pairs: Sequence[tuple[str, str | None]]) -> dict[str, list[tuple[str, str]]]:
    """Return the lines of `fab --list` by group, each task under the one name that people type.

    Parameters:
        pairs: names and first lines of all tasks, as Invoke lists them.
    """
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in (ENVIRONMENTS, OWN, *GROUPS)}
    for name, text in sorted((DEFAULT.sub(r"\g<group>", listed), text or "") for listed, text in pairs):
        is_environment = text.startswith(ENVIRONMENT)
        title = ENVIRONMENTS if is_environment else group_of(name)
        groups[title].append((name, text.removeprefix(ENVIRONMENT)))
    return {title: lines for title, lines in groups.items() if lines}


def option_line(flags: str, text: str, takes_list: bool = False) -> tuple[str, str]:
    """Return the flags of an option with the word for its value, and its help.

    Parameters:
        flags: as Invoke writes them, such as `-n STRING, --lines=STRING`.
        text: the option's help in its task.
    """
    overriding = OVERRIDING.fullmatch(text)
    if overriding is None:
        return _with_value(flags, VALUES.get(_name(flags), ""), takes_list), text
    # Imported only here: `fab --list` needs no schema.
    from warpbeam.inventory.option import option_of

    option = option_of(overriding["section"], overriding["key"])
    return _with_value(flags, option.value, takes_list), option.help


def _name(flags: str) -> str:
    """Return the long name of an option, without dashes."""
    return flags.rsplit("--", 1)[-1].partition("=")[0].partition("[")[0]


def _with_value(flags: str, value: str, takes_list: bool) -> str:
    if not value:
        return flags
    return f"{flags}={value}" if takes_list else re.sub(r"\b(?:STRING|INT)\b", value, flags)
