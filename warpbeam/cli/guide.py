"""Messages of the stock `fab` where no task runs: about unknown words, without any word, and in its list.

`fab` is one object of Fabric's class (`fabric.main.program`), which has loaded the fabfile when it parses the words of
the command line; `install` gives that object this subclass. Neither Fabric's configuration nor a collection can change
these messages. (`fab --help` alone is answered before Fabric looks for a fabfile.)
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from fabric.main import Fab
from invoke import Exit
from invoke.exceptions import ParseError

from warpbeam.cli.interruption import hush_when_unread
from warpbeam.cli.screen import error_text, folded, print_lines, room_on
from warpbeam.cli.task_list import grouped, option_line
from warpbeam.cli.welcome import welcome
from warpbeam.error import MISUSE

# Invoke's message about a word that is neither a task, nor an option, nor an option's value (parser.py, `handle`).
UNKNOWN = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
# Options that may be given more than once: invoke ignores one without a value.
LISTED = ("skip",)


class Guide(Fab):
    """The stock program, with messages for people who do not know yet what to type."""

    inventory: Path
    # The name of a program that runs one task and takes no word for it.
    alone = ""

    @property
    def _environments(self) -> list[str]:
        return [name for name, task in self.collection.tasks.items() if hasattr(task, "environment")]

    def parse_tasks(self) -> None:
        words = self.core.unparsed
        for word, after in pairwise([*words, "--"]):
            if word.removeprefix("--") in LISTED and after.startswith("--"):
                raise Exit(error_text(f"{word} needs a value", "`fab --help deploy` explains it"), code=MISUSE)
        # `fab rpc --help`: invoke's parser would take `--help` for the missing expression (parser.py, `handle`).
        for index, (word, after) in enumerate(pairwise(words)):
            if after in ("--help", "-h") and word in self.collection:
                self.args.help.value = word
                del words[index:]
                break
        try:
            super().parse_tasks()
        except ParseError as error:
            raise self._misuse(error) from None
        except ValueError as error:
            # A word where an option takes a number: Invoke converts it by `int`.
            word = str(error).rpartition(": ")[2]
            hint = "`fab --help TASK` explains its options"
            raise Exit(error_text(f"expected a number, found {word}", hint), code=MISUSE) from None

    def parse_cleanup(self) -> None:
        try:
            super().parse_cleanup()
        except ParseError as error:
            raise self._misuse(error) from None
        except BrokenPipeError:
            # `fab --list | head`
            hush_when_unread()
            raise Exit from None

    def _misuse(self, error: ParseError) -> Exit:
        context = error.context
        names = [_short(each) for each in self.parser.contexts.values()]
        message, hint = explain(
            str(error),
            task=_short(context) if context is not None and context.name else None,
            options=[*context.flags] if context is not None else [],
            chosen=bool(self.args.help.value) or any(word in self._environments for word in self.core.unparsed),
            environments=self._environments,
            tasks=[name for name in names if name not in self._environments],
            inventory=self.inventory,
        )
        return Exit(error_text(message, hint), code=MISUSE)

    def no_tasks_given(self) -> None:
        if self._remainder_only:
            return
        print_lines(sys.stdout, *welcome(self._environments, self.inventory))
        raise Exit

    def print_task_help(self, name: str) -> None:
        """Print a task's description, folded to the screen (invoke itself does not fold it), and its options."""
        context = self.parser.contexts[name]
        options = [option_line(flags, text or "", flags[2:] in LISTED) for flags, text in context.help_tuples()]
        text = inspect.getdoc(self.collection[name]) or ""
        # The lab and `init` take no environment, and a word that is an environment takes no second one.
        alone = name in self._environments or name.partition(".")[0] in ("lab", "init")
        command = self.alone or f"fab {'' if alone else 'ENVIRONMENT '}{name}"
        lines = [f"Usage: {command}{' [--options]' if options else ''}{'' if self.alone else ' [TASK ...]'}", ""]
        for line in text.splitlines():
            lines += folded(self.leading_indent + line, room_on(sys.stdout), self.leading_indent).split("\n")
        print_lines(sys.stdout, *lines, "", "Options:")
        if options:
            self.print_columns(options)
        else:
            print_lines(sys.stdout, f"{self.leading_indent}none", "")

    def display_with_columns(self, pairs: Sequence[tuple[str, str | None]], extra: str = "") -> None:
        if self.list_format == "flat" and not self.list_root:
            self._display_groups(grouped(pairs))
        else:
            super().display_with_columns(pairs, extra=extra)

    def _display_groups(self, groups: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        # Names as wide as the widest of all groups, so that the columns of all groups line up.
        width = max(len(name) for lines in groups.values() for name, _ in lines)
        for title, lines in groups.items():
            print_lines(sys.stdout, f"{title}:")
            self.print_columns([(name.ljust(width), text) for name, text in lines])


def _short(context: Any) -> str:
    """Return the name that people type: a group's default task has the group's name."""
    return str(min((context.name, *context.aliases), key=len))


def install(inventory: Path) -> None:
    """Make the running `fab` print these messages; `inventory` is the directory of environments."""
    program: Any = getattr(sys.modules.get("fabric.main"), "program", None)
    if type(program) in (Fab, Guide):
        program.__class__ = Guide
        program.inventory = inventory


def explain(
    said: str,
    *,
    task: str | None,
    options: Iterable[str],
    chosen: bool,
    environments: Sequence[str],
    tasks: Sequence[str],
    inventory: Path,
) -> tuple[str, str]:
    """Return a message and a hint for a message of invoke's parser.

    Parameters:
        said: the parser's message about the command line.
        task: the task whose words the parser was reading, if any.
        chosen: the command line names an environment, so a task was expected.
    """
    from warpbeam.inventory.decode import nearest
    from warpbeam.inventory.files import seen

    helped = f"`fab --help {task}` explains {task}" if task else "`fab --list` shows every task"
    unknown = UNKNOWN.fullmatch(said)
    if unknown is None:
        return said, helped
    word = unknown[1]
    if word.startswith("-"):
        where = f"{task} has no option" if task else "there is no option"
        return f"{where} {word}{nearest(word, options)}", helped
    if chosen:
        return f"there is no task {word}{nearest(word, [*tasks, *environments])}", "`fab --list` shows every task"
    file = seen(inventory / f"{word}.yml")
    known = ", ".join(environments) or "none yet: `fab init` writes one"
    return (
        f"there is no {file} and no task {word}{nearest(word, [*environments, *tasks])}",
        f"the environments are: {known}; `fab --list` shows every task",
    )
