"""A task some of whose options have a short flag, chosen by name.

Invoke derives short flags from the first free letter, so that a new option may rename an old one: every task here turns
that off, and the few short flags that people's fingers know are given by this class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from invoke import Task


class ShortFlags(Task[Any]):
    """For `@task(klass=ShortFlags, short={"follow": "f"})`: `--follow`, and `-f`."""

    def __init__(self, body: Callable[..., Any], *, short: Mapping[str, str], **options: Any) -> None:
        super().__init__(body, auto_shortflags=False, **options)
        self.short = short

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """As Invoke has it, with the short name besides."""
        options: dict[str, Any] = super().arg_opts(name, default, taken_names)
        if name in self.short:
            options["names"].append(self.short[name])
        return options
