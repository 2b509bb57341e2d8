"""The keys for hooks: commands of the user's own that run around a phase."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from warpbeam.inventory.names import Seconds, ShellCommand

# Phases that can have hooks. `migrate` and `activate` are parts of the others; `activate` is of one host.
Hooked = Literal["setup", "build", "deploy", "rollback", "restart", "migrate", "activate"]


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command or script that runs here (on this machine) or on the hosts, for at most `timeout` seconds.

    `run` is a command for a shell; `script` is an executable of this machine, sent to where it runs.
    """

    run: ShellCommand | None = None
    script: Path | None = None
    on: Literal["here", "hosts"] = "here"
    timeout: Seconds = 300

    def __post_init__(self) -> None:
        if (self.run is None) == (self.script is None):
            raise ValueError(f"expected exactly one of run and script, found {'both' if self.run else 'neither'}")


class Hooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hooks of one phase; `failed` ones run when the phase, or a hook of the phase, has failed."""

    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    failed: tuple[Hook, ...] = ()
