"""The app's source: a directory in a git repository, at one commit, or its working tree as it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from warpbeam.build.attributes import parents, sent_with_commit
from warpbeam.build.git import LONGEST_LOCK, git, modes_of, run_git, texts_of
from warpbeam.build.layout import Layout, lay_out, names_beside
from warpbeam.build.submodule import Submodule, submodules_of
from warpbeam.build.working_tree import (
    check_clean,
    dirty_files,
    ignored_files,
    sent_dirty,
    tree_of_working_tree,
)
from warpbeam.error import Misuse

# The most characters of a commit's subject that are read, and that hosts keep.
LONGEST_SUBJECT = 1000
# The name under which build.sh exports the commit.
COMMIT_VARIABLE = "WARPBEAM_COMMIT"
# Files in which no build reads that variable. git would unpack all of them before it sees that they are no text: for a
# source with 30 MB of pictures, that takes most of the time of a deploy of an artifact that is built already.
BINARY = (
    *("avif", "bmp", "eot", "gif", "heic", "ico", "jpeg", "jpg", "mov", "mp3", "mp4", "ogg", "otf", "pdf", "png"),
    *("tiff", "ttf", "webm", "webp", "woff", "woff2"),
    *("beam", "bin", "bz2", "dylib", "gz", "jar", "so", "tar", "tgz", "wasm", "xz", "zip", "zst"),
)
TEXTS = (":/", *(f":(exclude,top,icase)*.{ending}" for ending in BINARY))


class Source(msgspec.Struct, frozen=True):
    """A source at one commit or as a working tree; `tree` identifies its content, whatever commit it belongs to.

    `prefix` is the directory's path below the top of its repository, empty or ending in a slash. `sent` identifies what
    decides, together with the tree, which bytes leave git. `whole` is the whole repository's tree, or the commit.
    `more` are the paths of `build.include` in the repository.
    """

    directory: Path
    top: Path
    prefix: str
    commit: str
    tree: str
    subject: str
    dirty: bool = False
    sent: str = ""
    whole: str = ""
    more: tuple[str, ...] = ()
    submodules: tuple[Submodule, ...] = ()

    @property
    def layout(self) -> Layout:
        """The paths of the repository that a build has."""
        return Layout(self.prefix, self.more)


class Repository(msgspec.Struct, frozen=True):
    """The git repository of a source's directory, and the directory's path below its top.

    `attributes` is the attributes file of this clone alone.
    """

    top: Path
    prefix: str
    attributes: Path


def find_source(
    directory: Path,
    ref: str = "HEAD",
    *,
    include: Sequence[str] = (),
    allow_dirty: bool = False,
    leave_dirty: bool = False,
) -> Source:
    """Return the source in `directory` at `ref`.

    Parameters:
        include: further paths that a build needs, relative to `directory`: `build.include`.
        allow_dirty: where the working tree differs from HEAD, take the working tree as it stands.
        leave_dirty: where the working tree differs from HEAD, take HEAD instead of refusing.

    Raises:
        Misuse: no such directory, repository, commit, or no mix project there, or `include` leads out of it.
        Refused: the working tree below `directory` is dirty (a deploy of HEAD would silently leave the changes out), or
            git cannot give all files of the commit.
    """
    repository = _find_repository(directory)
    top = repository.top
    layout = lay_out(str(top), repository.prefix, include)
    commit = _find_commit(directory, top, ref)
    # A commit other than HEAD was named on purpose: changes in the working tree do not matter.
    changed = changed_files(directory, layout, top) if ref == "HEAD" else []
    if not allow_dirty and not leave_dirty:
        check_clean(directory, changed)
    dirty = allow_dirty and bool(changed)
    whole = tree_of_working_tree(top, layout.paths) if dirty else commit
    trees = {path: _narrow(top, whole, path, ref) for path in (layout.prefix.rstrip("/"), *layout.more)}
    modes = modes_of(top, whole, *filter(None, layout.paths))
    if f"{layout.prefix}mix.exs" not in modes:
        raise Misuse(f"{directory} holds no mix.exs at {ref!r}", "see `source` in the inventory")
    submodules = submodules_of(top, whole, modes, dirty=dirty)
    parts = [sent_dirty(top / layout.base, layout.places)] if dirty else _sent(repository, commit, trees, modes)
    return Source(
        directory,
        top,
        layout.prefix,
        commit,
        _identity(trees),
        _subject(top, commit),
        dirty,
        _join([*parts, *(submodule.sent for submodule in submodules)], _commit_if_read(top, commit, trees, submodules)),
        whole,
        layout.more,
        submodules,
    )


def changed_files(directory: Path, layout: Layout, top: Path) -> list[str]:
    """Return the files of a source's working tree that differ from HEAD, as `dirty_files` does."""
    return dirty_files(top, layout.paths) if layout.more else dirty_files(directory)


def files_to_leave_out(source: Source) -> tuple[Path, list[str]]:
    """Return the directory to copy for a dirty source, and the paths below it to leave out; submodules are among them.

    Submodules come as the files of their commits.
    """
    layout = source.layout
    directory = source.top / layout.base
    submodules = [f"{submodule.path}/".removeprefix(layout.base) for submodule in source.submodules]
    ignored = ignored_files(directory, layout.places)
    own = [".git", f"{layout.place}_build"]
    return directory, [*own, *ignored, *submodules, *names_beside(directory, layout.places)]


def _sent(repository: Repository, commit: str, trees: Mapping[str, str], modes: Mapping[str, str]) -> list[str]:
    """Return what `sent_with_commit` returns for each path of the source."""
    said: list[str] = []
    for path, tree in trees.items():
        prefix = f"{path}/" if path else ""
        below = {name.removeprefix(prefix): mode for name, mode in modes.items() if name.startswith(prefix)}
        said.append(sent_with_commit(repository.top, commit, prefix, tree, below, repository.attributes))
    return said


def _identity(trees: Mapping[str, str]) -> str:
    """Return the id of all that is at these paths: the tree's own where there is only one."""
    (_, only), *others = trees.items()
    if not others:
        return only
    return hashlib.sha256(msgspec.json.encode([*trees.items()])).hexdigest()[: len(only)]


def _join(parts: Sequence[str], commit: str) -> str:
    """Return one text for what the parts of a source are sent with: that of the only part that has one, or a digest."""
    first, *others = parts
    joined = hashlib.sha256("\0".join(parts).encode()).hexdigest() if any(others) else first
    # A build that reads COMMIT_VARIABLE makes another release of another commit, even of the same tree.
    return f"{joined} {commit}".strip()


def _commit_if_read(top: Path, commit: str, trees: Mapping[str, str], submodules: Sequence[Submodule]) -> str:
    """Return the commit where a file of the source contains the name of its variable; otherwise empty text."""
    places = [*((top, tree) for tree in trees.values()), *((each.top, each.commit) for each in submodules)]
    return commit if any(_reads_commit(top, tree) for top, tree in places) else ""


def read_file(source: Source, name: str) -> str | None:
    """Return the text of a small file of the source, or None where it does not exist."""
    return texts_of(source.top, [f"{source.whole}:{source.prefix}{name}"])[0]


def read_lock_file(source: Source) -> str:
    """Return the text of the source's mix.lock; empty where it does not exist."""
    return texts_of(source.top, [f"{source.whole}:{source.prefix}mix.lock"], longest=LONGEST_LOCK)[0] or ""


def read_above(source: Source, name: str) -> list[str]:
    """Return the texts of the files of that name: the source's own, then those in directories above, nearest first."""
    places = [source.prefix, *parents(source.prefix)]
    # Follow links as in a working tree: they often lead to another directory of the repository.
    texts = texts_of(source.top, [f"{source.whole}:{path}{name}" for path in places], "--follow-symlinks")
    return [text for text in texts if text is not None]


def _find_repository(directory: Path) -> Repository:
    """Return the repository of a source's directory. Raises: Misuse, where there is none that git reads."""
    if not directory.is_dir():
        raise Misuse(
            f"the source {directory} is not a directory",
            "see `source` in the inventory: a relative path is seen from there",
        )
    asked = ("rev-parse", "--show-toplevel", "--show-prefix", "--git-path", "info/attributes")
    try:
        where = git(directory, *asked, expect=f"the source {directory} is in no git repository")
    except Misuse as misuse:
        # The setting's name, which git's message has in every language.
        if "safe.directory" not in misuse.hint:
            raise
        owned = f"the source {directory} is in a git repository of another user, which git does not read"
        raise Misuse(owned, misuse.hint) from None
    top, prefix, attributes = where.rsplit("\n", 2)
    return Repository(Path(top), prefix, directory / attributes)


def _find_commit(directory: Path, top: Path, ref: str) -> str:
    """Return the id of the commit that `ref` names. Raises: Misuse, where there is none."""
    if ref.startswith("-"):
        raise Misuse(f"{ref!r} is no commit", "give a branch, a tag or a commit id")
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return git(directory, *asked, expect=f"there is no commit {ref!r} in {top}")


def _narrow(top: Path, whole: str, path: str, ref: str) -> str:
    """Return the id of the tree at `path` in the tree or commit `whole`. Raises: Misuse, where there is none."""
    name = f"{whole}:{path}" if path else f"{whole}^{{tree}}"
    return git(top, "rev-parse", "--verify", name, expect=f"{path or '.'} does not exist in commit {ref!r}")


def _reads_commit(top: Path, tree: str) -> bool:
    """Whether a file of the tree contains the name of the variable that holds the commit."""
    asked = ("grep", "--quiet", "-I", "--fixed-strings", "-e", COMMIT_VARIABLE, tree, "--", *TEXTS)
    return run_git(top, *asked).returncode == 0


def _subject(top: Path, commit: str) -> str:
    return git(top, "show", "--no-patch", f"--format=%<({LONGEST_SUBJECT},trunc)%s", commit).rstrip(" ")
