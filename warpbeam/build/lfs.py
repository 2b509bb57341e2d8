"""Git LFS: a build gets the files themselves; what would leave a pointer in their place is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from warpbeam.build.git import git, names_of, run_git, texts_of
from warpbeam.error import Refused

# A pointer is shorter (git-lfs's docs/spec.md); anything longer is a file itself.
LONGEST_POINTER = 1024
POINTER = re.compile(r"\Aversion https?://\S+\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
FILTER = "lfs"


def check_objects(top: Path, commit: str, path: str, known: str) -> None:
    """Check that this clone has the content of each LFS file of a commit at or below `path`, without asking a server.

    Parameters:
        known: the configured commands of git's filters, as `git config --get-regexp` prints them.

    Raises:
        Refused: git is configured to leave pointers as they are, or contents are missing.
    """
    oids = pointers(top, commit, path)
    if not oids:
        return
    if re.search(r"^filter\.lfs\.\S+ .*--skip\b", known, re.MULTILINE):
        raise Refused(
            "git on this machine is configured to leave LFS files as pointers (git lfs install --skip-smudge)",
            "`git lfs install --force`",
        )
    store = _object_directory(top)
    missing = [name for name, oid in oids.items() if not (store / oid[:2] / oid[2:4] / oid).is_file()]
    if missing:
        raise Refused(
            f"the content of {len(missing)} Git LFS file{'s' if len(missing) > 1 else ''} is not on this machine, so "
            f"a pointer would be built in place of {missing[0]}",
            f"git -C {top} lfs fetch origin {commit[:10]}",
            tuple(missing[:10]),
        )


def pointers(top: Path, commit: str, path: str) -> dict[str, str]:
    """Return the ids of the contents that the LFS files at or below `path` stand for, by path in the repository."""
    listed = names_of(top, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", *filter(None, [path]))
    entries = [entry.partition("\t") for entry in listed]
    names = [name for about, _, name in entries if _is_short(about.split()[-1])]
    filters = filters_of_commit(top, commit, names)
    tracked = [name for name in names if filters.get(name) == FILTER]
    texts = texts_of(top, [f"{commit}:{name}" for name in tracked])
    found = ((name, POINTER.match(text or "")) for name, text in zip(tracked, texts, strict=True))
    return {name: match[1] for name, match in found if match}


def check_files(directory: Path, names: Iterable[str]) -> None:
    """Check that no LFS file of a working tree is a pointer. Raises: Refused."""
    short = [name for name in names if _is_short_file(directory / name)]
    filters = filters_of(directory, short)
    left = [name for name in short if filters.get(name) == FILTER and POINTER.match(_text(directory / name))]
    if left:
        raise Refused(
            f"{len(left)} Git LFS file{'s are' if len(left) > 1 else ' is'} a pointer in the working tree, which would "
            f"be built in place of the file: {left[0]}",
            f"git -C {directory} lfs pull",
            tuple(left[:10]),
        )


def filters_of_commit(top: Path, commit: str, names: Sequence[str]) -> dict[str, str]:
    """Return the filter of each file that has one, by the attributes of the commit and not of the working tree."""
    with TemporaryDirectory() as scratch:
        # git-check-attr(1) reads attributes from the working tree or an index.
        index = Path(scratch, "index")
        git(top, "read-tree", commit, index=index)
        return filters_of(top, names, "--cached", index=index)


def filters_of(directory: Path, names: Sequence[str], *options: str, index: Path | None = None) -> dict[str, str]:
    """Return the filter of each file that has one."""
    asked = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
    done = run_git(directory, "check-attr", "-z", *options, "--stdin", "filter", stdin=asked, index=index)
    answers = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    values = zip(answers[::3], answers[2::3], strict=True)
    return {path: value for path, value in values if value not in ("unspecified", "unset", "set")}


def _object_directory(top: Path) -> Path:
    """Return the directory in which LFS keeps contents: `lfs.storage`, below the directory of git (git-lfs-config)."""
    common = top / git(top, "rev-parse", "--git-common-dir")
    chosen = run_git(top, "config", "--path", "--get", "lfs.storage").stdout.decode("utf-8", "replace").strip()
    return common / (chosen or "lfs") / "objects"


def _is_short(size: str) -> bool:
    return size.isdigit() and int(size) < LONGEST_POINTER


def _is_short_file(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and file.stat().st_size < LONGEST_POINTER


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace")
