"""A program that runs one task where there is no fabfile: the stock `fab` runs none there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fabric import Config
from invoke import Collection, Exit, Task
from invoke.exceptions import ParseError

from warpbeam.cli.executor import Executor
from warpbeam.cli.guide import Guide
from warpbeam.cli.screen import error_text
from warpbeam.error import MISUSE
from warpbeam.version import VERSION


class Starter(Guide):
    """The stock program with one task, whose options are the program's own."""

    def _misuse(self, error: ParseError) -> Exit:
        return Exit(error_text(str(error), f"`{self.alone} --help` explains its options"), code=MISUSE)


def start(task: Task[Any], name: str, project: Path) -> None:
    """Run `task` with the options of the command line, as `fab` does with the fabfile of the directory `project`."""
    commands = Collection(task)
    commands.configure({"environment": None, "warpbeam": {"project": str(project)}})
    program = Starter(
        name="Warpbeam", version=VERSION, executor_class=Executor, config_class=Config, namespace=commands
    )
    program.alone = name
    program.inventory = project / "inventory"
    program.run([name, task.name, *sys.argv[1:]])
