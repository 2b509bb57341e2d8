"""The app's source: a directory in a git repository, at one commit, or its working tree as it stands."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from warpbeam.error import Misuse, Refused

PIECE = 256 * 1024
# Bytes of a file of the source that is read here, such as .tool-versions.
LONGEST_FILE = 64 * 1024
# Characters of a commit's subject that are read, and that hosts keep.
LONGEST_SUBJECT = 1000
# Bytes that git may say of a repository, whose commits may be in the wrong hands.
MOST_SAID = 64 * 1024 * 1024
# How many commits, or migrations, are told, and how many characters of each.
MOST_TOLD = 1000
LONGEST_TOLD = 500


class Source(msgspec.Struct, frozen=True):
    """What is built: `tree` identifies its content, whatever commit it belongs to.

    `prefix` is the directory's path below the top of its repository, empty or ending in a slash.
    """

    directory: Path
    top: Path
    prefix: str
    commit: str
    tree: str
    subject: str
    dirty: bool = False


def find_source(directory: Path, ref: str = "HEAD", *, allow_dirty: bool = False, leave_dirty: bool = False) -> Source:
    """The source in `directory` at `ref`.

    Parameters:
        allow_dirty: take the working tree as it stands instead of a commit, when it differs from HEAD.
        leave_dirty: otherwise, take HEAD although the working tree differs, instead of refusing.

    Raises:
        Misuse: no such directory, repository, commit, or no mix project there.
        Refused: the working tree below `directory` is dirty (a deploy of HEAD would silently leave that out).
    """
    if not directory.is_dir():
        raise Misuse(
            f"the source {directory} is not a directory",
            "see `source` in the inventory: a relative path is seen from there",
        )
    where = _git(
        directory,
        "rev-parse",
        "--show-toplevel",
        "--show-prefix",
        expect=f"the source {directory} is in no git repository",
    )
    top_text, _, prefix = where.partition("\n")
    top = Path(top_text)
    if ref.startswith("-"):
        raise Misuse(f"{ref!r} is no commit", "give a branch, a tag or a commit id")
    commit = _git(
        directory,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{ref}^{{commit}}",
        expect=f"there is no commit {ref!r} in {top}",
    )
    # Another commit is named on purpose, whatever the tree has.
    changed = dirty_files(directory) if ref == "HEAD" else []
    dirty = False
    if changed:
        if not allow_dirty and not leave_dirty:
            shown = tuple(changed[:10]) + ((f"… and {len(changed) - 10} more",) if len(changed) > 10 else ())
            files, pronoun = (f"{len(changed)} files", "they") if len(changed) > 1 else ("1 file", "it")
            raise Refused(
                f"the working tree of {directory} differs from HEAD in {files}: {pronoun} would not be built",
                "commit or stash them, name a commit with --ref, or give --dirty to build the tree as it stands",
                shown,
            )
        dirty = allow_dirty
    tree = (
        _working_tree(top, prefix)
        if dirty
        else _git(
            top,
            "rev-parse",
            "--verify",
            _tree(commit, prefix),
            expect=f"{prefix or '.'} does not exist in commit {ref!r}",
        )
    )
    project, submodules = _there(top, f"{tree}:mix.exs", f"{commit}:.gitmodules")
    if not project:
        raise Misuse(f"{directory} holds no mix.exs at {ref!r}", "see `source` in the inventory")
    if submodules:
        raise Misuse(
            f"{top} has submodules, which are not carried to the build host",
            "vendor them or use Mix dependencies",
        )
    subject = _git(top, "show", "--no-patch", f"--format=%<({LONGEST_SUBJECT},trunc)%s", commit).rstrip(" ")
    return Source(directory, top, prefix, commit, tree, subject, dirty)


def dirty_files(directory: Path) -> list[str]:
    """The files below `directory` that differ from HEAD or are neither tracked nor ignored, as git's short status.

    Without the column that tells what is staged: all of it differs.
    """
    done = _run(directory, "status", "--porcelain", "--untracked-files=all", "--", ".")
    lines = _lines(done.stdout)
    return [f"{line[:2].strip()} {line[3:]}" for line in lines]


def ignored_files(source: Source) -> list[str]:
    """What git ignores below the source, relative to it; directories end in a slash."""
    text = _run(source.directory, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory").stdout
    return [name for name in text.decode("utf-8", "surrogateescape").split("\0") if name]


def read_file(source: Source, name: str) -> str | None:
    """The text of a small file of the source, or None where there is none.

    Raises:
        Refused: it has more than LONGEST_FILE bytes, which no file that is read here has a reason for.
    """
    said = _run(source.top, "cat-file", "--batch", stdin=f"{source.tree}:{name}\n").stdout
    # `ID blob SIZE`, a line end, and the file; or `NAME missing` (git-cat-file(1)).
    head, _, content = said.partition(b"\n")
    kind, size = [*head.split(), b"", b"", b""][1:3]
    if kind != b"blob":
        return None
    if int(size) > LONGEST_FILE:
        raise Refused(
            f"{name} has {int(size)} bytes in commit {source.commit[:8]}; expected at most {LONGEST_FILE}",
            "look at what was committed there",
        )
    return content[: int(size)].decode("utf-8", "replace")


def migrations_added(source: Source, since: str) -> list[str]:
    """The migrations that came into the source since commit `since`: files below priv/…/migrations/, as Ecto does."""
    return _migrations(source, since, "A")


def migrations_lost(source: Source, since: str) -> list[str]:
    """The migrations that commit `since` has and the source has not: where they were run they stay applied."""
    return _migrations(source, since, "D")


def _migrations(source: Source, since: str, change: str) -> list[str]:
    done = _run(
        source.top,
        "diff",
        "--name-only",
        f"--diff-filter={change}",
        "--no-renames",
        since,
        source.commit,
        "--",
        f":(top,glob){source.prefix}**/priv/**/migrations/*",
    )
    return _told(done.stdout) if done.returncode == 0 else []


def commits_since(source: Source, since: str) -> list[str] | None:
    """One line for each commit of the source since `since`, newest first; None when `since` is not in this repository.

    When `since` is no ancestor (a rollback, a rewritten history), lines that go out begin with `>`, lines that are
    lost with `<`.
    """
    if _run(source.top, "cat-file", "-e", f"{since}^{{commit}}").returncode != 0:
        return None
    ancestor = _run(source.top, "merge-base", "--is-ancestor", since, source.commit).returncode == 0
    style = ["--format=%h %s (%an)"] if ancestor else ["--left-right", "--format=%m %h %s (%an)"]
    dots = ".." if ancestor else "..."
    most = f"--max-count={MOST_TOLD + 1}"
    done = _run(source.top, "log", most, *style, f"{since}{dots}{source.commit}", "--", source.prefix or ".")
    return _told(done.stdout)


def archive(source: Source) -> Iterator[bytes]:
    """The commit's files as a tar stream, below `prefix`.

    Raises:
        Refused: git could not make it.
    """
    paths = ["--", source.prefix] if source.prefix else []
    command = ["git", "-C", str(source.top), "archive", "--format=tar", source.commit, *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None and process.stderr is not None  # noqa: S101 (pipes were asked for)
        try:
            while piece := process.stdout.read(PIECE):
                yield piece
            said = process.stderr.read().decode("utf-8", "replace").strip()
        except GeneratorExit:
            process.kill()
            raise
    if process.returncode != 0:
        raise Refused(f"git archive failed: {said}")


def _lines(said: bytes) -> list[str]:
    """The lines that git wrote. What else ends lines in Unicode may stand in a subject or a name."""
    return said.decode("utf-8", "replace").split("\n")[:-1]


def _told(said: bytes) -> list[str]:
    """As `_lines`, but no longer than a person reads: a commit's author decides how long they are."""
    lines = [line if len(line) <= LONGEST_TOLD else f"{line[:LONGEST_TOLD]}…" for line in _lines(said)]
    return lines if len(lines) <= MOST_TOLD else [*lines[:MOST_TOLD], "… and more"]


def _there(top: Path, *objects: str) -> list[bool]:
    """Whether the repository has each of these objects; git-cat-file(1) answers `NAME missing` where it has not."""
    asked = "".join(f"{name}\n" for name in objects)
    said = _git(top, "cat-file", "--batch-check=%(objectname)", stdin=asked)
    return [not line.endswith(" missing") for line in said.split("\n")]


def _tree(commit: str, prefix: str) -> str:
    return f"{commit}:{prefix.rstrip('/')}" if prefix else f"{commit}^{{tree}}"


def _working_tree(top: Path, prefix: str) -> str:
    """The tree id that the working tree would have if it were committed; the user's index is not touched."""
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch, "index")
        environment = {**os.environ, "GIT_INDEX_FILE": str(index)}
        _git(top, "read-tree", "HEAD", environment=environment)
        _git(top, "add", "--all", "--", prefix or ".", environment=environment)
        whole = _git(top, "write-tree", environment=environment)
    return _git(top, "rev-parse", "--verify", f"{whole}:{prefix.rstrip('/')}" if prefix else whole)


def _git(
    directory: Path, *arguments: str, expect: str = "", environment: dict[str, str] | None = None, stdin: str = ""
) -> str:
    done = _run(directory, *arguments, environment=environment, stdin=stdin)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        raise Misuse(expect or f"git {arguments[0]} failed in {directory}: {said}", said if expect else "")
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def _run(
    directory: Path, *arguments: str, environment: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[bytes]:
    command: Sequence[str] = ("git", "-C", str(directory), *arguments)
    try:
        return _bounded(command, stdin.encode(), environment)
    except FileNotFoundError:
        raise Misuse("git is not installed on this machine", "on Debian: apt-get install git") from None


def _bounded(
    command: Sequence[str], stdin: bytes, environment: dict[str, str] | None
) -> subprocess.CompletedProcess[bytes]:
    """Run it, as `subprocess.run` does. Raises: Refused, when it says more than is taken."""
    with (
        tempfile.TemporaryFile() as asked,
        tempfile.TemporaryFile() as complaints,
    ):
        asked.write(stdin)
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=complaints, env=environment) as git:  # noqa: S603
            assert git.stdout is not None  # noqa: S101 (a pipe was asked for)
            said = git.stdout.read(MOST_SAID + 1)
            if len(said) > MOST_SAID:
                git.kill()
                raise Refused(
                    f"git {command[3]} said more than {MOST_SAID // 2**20} MB of the repository {command[2]}",
                    "look at its last commits: a subject, a name or a file is far too long",
                )
        complaints.seek(0)
        return subprocess.CompletedProcess(command, git.returncode, said, complaints.read(LONGEST_FILE))
