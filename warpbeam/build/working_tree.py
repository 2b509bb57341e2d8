"""The working tree of a source: whether it differs from HEAD, and which of its files a build takes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from warpbeam.build.git import GIT_AS_PERSON, git, lines_of, names_of, run_git
from warpbeam.build.lfs import check_files
from warpbeam.error import Refused


def dirty_files(directory: Path, paths: Sequence[str] = ()) -> list[str]:
    """Return the files below `directory` that differ from HEAD or are neither tracked nor ignored.

    Each has git's short status before its name. Staged and unstaged changes look alike: both differ from HEAD.

    Parameters:
        paths: only the files at or below these; without any, all files below `directory`.
    """
    asked = ("status", "--porcelain", "--untracked-files=all", "--", *literal(paths))
    done = run_git(directory, *asked, git=GIT_AS_PERSON)
    lines = lines_of(done.stdout)
    return [f"{line[:2].strip()} {line[3:]}" for line in lines]


def check_clean(directory: Path, changed: Sequence[str]) -> None:
    """Check that no file was changed. Raises: Refused, which names the first ten of them."""
    if not changed:
        return
    more = [f"… and {len(changed) - 10} more"] if len(changed) > 10 else []
    files, pronoun = (f"{len(changed)} files", "they") if len(changed) > 1 else ("1 file", "it")
    raise Refused(
        f"the working tree of {directory} differs from HEAD in {files}: {pronoun} would not be built",
        "commit or stash them, name a commit with --ref, or give --dirty to build the tree as it stands",
        (*changed[:10], *more),
    )


def tree_of_working_tree(top: Path, paths: Sequence[str]) -> str:
    """Return the tree that the repository would have if the working tree at or below `paths` were committed.

    A temporary index is used: the user's own is not touched.
    """
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch, "index")
        git(top, "read-tree", "HEAD", index=index)
        git(top, "add", "--all", "--", *literal(paths), index=index)
        return git(top, "write-tree", index=index)


def sent_dirty(directory: Path, paths: Sequence[str] = ()) -> str:
    """Return what decides, together with the tree, which files of a working tree at or below `paths` are sent.

    Raises:
        Refused: files of the tree are missing in the working tree (git-sparse-checkout(1)), or are pointers of LFS.
    """
    # `S NAME`: git does not look at this file in the working tree (git-ls-files(1)).
    entries = names_of(directory, "ls-files", "-z", "-t", "--cached", "--", *literal(paths))
    absent = [entry[2:] for entry in entries if entry.startswith("S ") and not os.path.lexists(directory / entry[2:])]
    if absent:
        raise Refused(
            f"the working tree of {directory} lacks {len(absent)} files, which would not be built: {absent[0]}",
            "`git sparse-checkout add` their directory, or deploy a commit: that has all of them",
        )
    check_files(directory, [entry[2:] for entry in entries])
    left_out = "\0".join(sorted(export_ignored(directory, paths))).encode("utf-8", "surrogateescape")
    return f"dirty {hashlib.sha256(left_out).hexdigest()}" if left_out else "dirty"


def ignored_files(directory: Path, paths: Sequence[str] = ()) -> list[str]:
    """Return the paths at or below `paths` of the working tree that are not built, relative to `directory`.

    Directories end in a slash.

    These are what git ignores, and what the repository's attributes exclude from archives (`export-ignore`).
    """
    asked = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--", *literal(paths))
    return [*names_of(directory, *asked), *export_ignored(directory, paths)]


def export_ignored(directory: Path, paths: Sequence[str] = ()) -> list[str]:
    """Return the files and directories that the repository's attributes exclude from archives."""
    asked_files = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *literal(paths))
    files = names_of(directory, *asked_files)
    directories = {f"{parent}/" for name in files for parent in map(str, PurePosixPath(name).parents) if parent != "."}
    asked = "".join(f"{name}\0" for name in [*files, *sorted(directories)]).encode("utf-8", "surrogateescape")
    # `PATH NUL export-ignore NUL VALUE NUL` (git-check-attr(1)).
    answers = names_of(directory, "check-attr", "-z", "--stdin", "export-ignore", stdin=asked)
    return [path for path, value in zip(answers[::3], answers[2::3], strict=True) if value == "set"]


def literal(paths: Sequence[str]) -> list[str]:
    """Return the paths as pathspecs of git (gitglossary(7)): relative to where git runs, and without patterns."""
    return ["."] if not paths or "" in paths else [f":(literal){path}" for path in paths]
