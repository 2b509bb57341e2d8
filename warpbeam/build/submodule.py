"""Git submodules of a source: the files of the commits that its tree names, from their clones on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from warpbeam.build.attributes import sent_with_commit
from warpbeam.build.git import git, modes_of, run_git
from warpbeam.build.working_tree import dirty_files
from warpbeam.error import Misuse, Refused

# The mode of a submodule in a tree (git-ls-tree(1)).
SUBMODULE = "160000"
# A submodule of a submodule of …: far more levels than any repository has.
DEEPEST = 10


class Submodule(msgspec.Struct, frozen=True):
    """A submodule at one commit; `path` is its path in the outermost repository, `top` its clone on this machine.

    `sent` is for it what `Source.sent` is for a source.
    """

    path: str
    top: Path
    commit: str
    sent: str = ""


def submodules_of(
    top: Path, whole: str, modes: Mapping[str, str], *, dirty: bool, above: str = "", depth: int = 0
) -> tuple[Submodule, ...]:
    """Return the submodules among the files of a tree, each followed by its own.

    Parameters:
        whole: the repository's tree or commit.
        modes: the modes of the tree's files, by their paths in the repository.
        dirty: the working tree is built, in which a submodule may have changes of its own.
        above: the repository's own path in the outermost one, empty or ending in a slash.

    Raises:
        Refused: a submodule is not checked out, its clone does not have the commit, or it has changes of its own.
    """
    found: list[Submodule] = []
    for name in sorted(name for name, mode in modes.items() if mode == SUBMODULE):
        path, clone = f"{above}{name}", top / name
        commit = git(top, "rev-parse", "--verify", f"{whole}:{name}")
        _check_clone(path, clone, top, name, commit)
        if dirty and (changed := dirty_files(clone)):
            raise Refused(
                f"the git submodule {path} has changes of its own: a build takes the commit that it is at",
                f"commit or stash them in {clone}",
                tuple(changed[:10]),
            )
        own = modes_of(clone, commit)
        attributes = clone / git(clone, "rev-parse", "--git-path", "info/attributes")
        sent = sent_with_commit(clone, commit, "", commit, own, attributes)
        found.append(Submodule(path, clone, commit, sent))
        if depth >= DEEPEST:
            raise Misuse(f"git submodules are more than {DEEPEST} levels deep: {path}", "use a git dependency")
        found += submodules_of(clone, commit, own, dirty=dirty, above=f"{path}/", depth=depth + 1)
    return tuple(found)


def _check_clone(path: str, clone: Path, top: Path, name: str, commit: str) -> None:
    """Check that the submodule has a clone of its own which holds that commit. Raises: Refused."""
    shown = run_git(clone, "rev-parse", "--show-prefix") if clone.is_dir() else None
    # In a directory that is no clone, git finds the repository around it, and a prefix that is not empty.
    if shown is None or shown.returncode != 0 or shown.stdout.strip():
        raise Refused(
            f"the git submodule {path} is not checked out here, so a build would lack its files",
            f"git -C {top} submodule update --init --recursive -- {name}",
        )
    if run_git(clone, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        raise Refused(
            f"the git submodule {path} does not have the commit {commit[:10]} here, which the source names",
            f"git -C {clone} fetch; if its remote lacks the commit too, push it there",
        )
