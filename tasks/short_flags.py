"""Short flags of a task's options, chosen by name.

Invoke derives short flags from the first free letter, so a new option may change the flag of an old one. Every task
here turns that off; this class adds the few short flags that people type by habit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from invoke import Task


class ShortFlags(Task[Any]):
    """A task with given short flags: `@task(klass=ShortFlags, short={"follow": "f"})` has `--follow` and `-f`."""

    def __init__(self, body: Callable[..., Any], *, short: Mapping[str, str], **options: Any) -> None:
        super().__init__(body, auto_shortflags=False, **options)
        self.short = short

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """Return Invoke's options of an argument, with its short name added."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in self.short:
            options["names"].append(self.short[name])
        return options
