"""The app's source: a directory in a git repository, at one commit, or its working tree as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from warpbeam.build.attributes import parents, sent_with_commit
from warpbeam.build.git import git, run_git, texts_of
from warpbeam.build.working_tree import check_clean, dirty_files, sent_dirty, tree_of_working_tree
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
# The mode of a submodule in a tree (git-ls-tree(1)).
SUBMODULE = "160000"


class Source(msgspec.Struct, frozen=True):
    """A source at one commit or as a working tree; `tree` identifies its content, whatever commit it belongs to.

    `prefix` is the directory's path below the top of its repository, empty or ending in a slash. `sent` identifies what
    decides, together with the tree, which bytes leave git. `whole` is the whole repository's tree, or the commit.
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


class Repository(msgspec.Struct, frozen=True):
    """The git repository of a source's directory, and the directory's path below its top.

    `attributes` is the attributes file of this clone alone.
    """

    top: Path
    prefix: str
    attributes: Path


def find_source(directory: Path, ref: str = "HEAD", *, allow_dirty: bool = False, leave_dirty: bool = False) -> Source:
    """Return the source in `directory` at `ref`.

    Parameters:
        allow_dirty: where the working tree differs from HEAD, take the working tree as it stands.
        leave_dirty: where the working tree differs from HEAD, take HEAD instead of refusing.

    Raises:
        Misuse: no such directory, repository, commit, or no mix project there.
        Refused: the working tree below `directory` is dirty (a deploy of HEAD would silently leave the changes out), or
            git cannot give all files of the commit.
    """
    repository = _find_repository(directory)
    top, prefix = repository.top, repository.prefix
    commit = _find_commit(directory, top, ref)
    # A commit other than HEAD was named on purpose: changes in the working tree do not matter.
    changed = dirty_files(directory) if ref == "HEAD" else []
    if not allow_dirty and not leave_dirty:
        check_clean(directory, changed)
    dirty = allow_dirty and bool(changed)
    whole = tree_of_working_tree(top, prefix) if dirty else commit
    tree = _narrow(top, whole, prefix, ref)
    modes = _modes(top, tree)
    _check_project(directory, prefix, modes, ref)
    sent = sent_dirty(directory) if dirty else sent_with_commit(top, commit, prefix, tree, modes, repository.attributes)
    # A build that reads COMMIT_VARIABLE makes another release of another commit, even of the same tree.
    if _reads_commit(top, tree):
        sent = f"{sent} {commit}".strip()
    return Source(directory, top, prefix, commit, tree, _subject(top, commit), dirty, sent, whole)


def read_file(source: Source, name: str) -> str | None:
    """Return the text of a small file of the source, or None where it does not exist."""
    return texts_of(source.top, [f"{source.tree}:{name}"])[0]


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


def _narrow(top: Path, whole: str, prefix: str, ref: str) -> str:
    """Return the id of the tree at `prefix` in the tree or commit `whole`. Raises: Misuse, where there is none."""
    name = f"{whole}:{prefix.rstrip('/')}" if prefix else f"{whole}^{{tree}}"
    return git(top, "rev-parse", "--verify", name, expect=f"{prefix or '.'} does not exist in commit {ref!r}")


def _modes(top: Path, tree: str) -> dict[str, str]:
    """Return the mode of each file of a tree (git-ls-tree(1)), by path."""
    text = run_git(top, "ls-tree", "-r", "-z", "--full-tree", tree).stdout.decode("utf-8", "surrogateescape")
    entries = (entry.partition("\t") for entry in text.split("\0") if entry)
    return {name: about.partition(" ")[0] for about, _, name in entries}


def _check_project(directory: Path, prefix: str, modes: Mapping[str, str], ref: str) -> None:
    """Check that the files are a mix project, all of which git archive sends. Raises: Misuse."""
    if "mix.exs" not in modes:
        raise Misuse(f"{directory} holds no mix.exs at {ref!r}", "see `source` in the inventory")
    submodules = [prefix + name for name, mode in modes.items() if mode == SUBMODULE]
    if submodules:
        raise Misuse(
            f"{directory} holds a git submodule, whose files are not carried to the build host: {submodules[0]}",
            "vendor it or use a Mix dependency",
        )


def _reads_commit(top: Path, tree: str) -> bool:
    """Whether a file of the tree contains the name of the variable that holds the commit."""
    asked = ("grep", "--quiet", "-I", "--fixed-strings", "-e", COMMIT_VARIABLE, tree, "--", *TEXTS)
    return run_git(top, *asked).returncode == 0


def _subject(top: Path, commit: str) -> str:
    return git(top, "show", "--no-patch", f"--format=%<({LONGEST_SUBJECT},trunc)%s", commit).rstrip(" ")
