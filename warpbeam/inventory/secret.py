"""The references to secrets in an inventory: where a value is, never the value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from warpbeam.inventory.names import ShellCommand, VariableName
from warpbeam.inventory.shape import HIDDEN


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The source of a secret's value on this machine: exactly one of the three.

    `env` is a variable of this machine's environment; `command` prints the value (one line end at the end is not part
    of the value); `file` holds the value, byte for byte; its path is absolute after reading.
    """

    env: VariableName | None = None
    command: ShellCommand | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("env", "command", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of env, command and file, found {found}")


_WHERE = Meta(extra={"hint": "say where the value is: {env: NAME}, {command: ...} or {file: ...}"})
# The references by the names of their variables.
Secrets = Annotated[dict[VariableName, Annotated[Secret, _WHERE]], HIDDEN]
