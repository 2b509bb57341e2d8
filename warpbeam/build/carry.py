"""The copy of a working tree on a build host: each build has its own, so that two at once do not mix theirs."""

from __future__ import annotations

import secrets
from typing import ClassVar

from warpbeam.build.recipe import Recipe
from warpbeam.build.source import files_to_leave_out
from warpbeam.build.working_tree import tree_of_working_tree
from warpbeam.error import Refused
from warpbeam.event import Emit, Step
from warpbeam.fleet.fleet import Fleet
from warpbeam.host.phase import Done, Phase
from warpbeam.inventory.schema import Host
from warpbeam.ssh.rsync import this_path


class BeginCopy(Phase[Done], frozen=True, kw_only=True):
    """Make the directory of a copy; the head of `warpbeam/build/carry.sh` explains the fields."""

    script: ClassVar[str] = "build/carry"
    answer: ClassVar[type] = Done
    root: str
    carried: str


def carry(fleet: Fleet, host: Host, recipe: Recipe, emit: Emit) -> str:
    """Copy a dirty working tree to `host`; return the name of the directory with the copy, in that of builds.

    Raises:
        Refused: the tree changed meanwhile, or a name in it cannot be passed to rsync.
    """
    root, carried = recipe.root, f"carried.{secrets.token_hex(8)}"
    emit(Step(host.name, "rsync the working tree"))
    fleet.run(host, BeginCopy(root=root, carried=carried), emit)
    directory, left_out = files_to_leave_out(recipe.source)
    fleet.rsync(host, directory, f"{root}/build/{carried}", [*map(this_path, left_out)], emit)
    # The key stands for the tree as it was when the command began.
    if tree_of_working_tree(recipe.source.top, recipe.source.layout.paths) != recipe.source.whole:
        raise Refused("the working tree changed while it was copied", "nothing was built; run the same command again")
    return carried
