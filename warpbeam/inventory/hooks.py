"""What an inventory says of hooks: commands of the user's own around a phase."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from warpbeam.inventory.names import Seconds, ShellCommand

# The phases that hooks can be around. `migrate` and `activate` are parts of the others; the last is one host's.
Hooked = Literal["setup", "build", "deploy", "rollback", "restart", "migrate", "activate"]


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command or script, run here (on this machine) or on the hosts, at most `timeout` seconds.

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
    """What is run around one phase; `failed` when it, or a hook of it, has failed."""

    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    failed: tuple[Hook, ...] = ()
