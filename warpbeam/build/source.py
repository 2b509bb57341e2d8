"""The app's source: a directory in a git repository, at one commit, or its working tree as it stands."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from warpbeam.environ import for_git
from warpbeam.error import Misuse, Refused

PIECE = 256 * 1024
# The most bytes of a file of the source that is read here, such as .tool-versions.
LONGEST_FILE = 64 * 1024
# The most characters of a commit's subject that are read, and that hosts keep.
LONGEST_SUBJECT = 1000
# The most bytes of git's output that are read: the commits of a repository may be made to do harm.
MOST_SAID = 64 * 1024 * 1024
# How many commits, or migrations, are shown, and how many characters of each.
MOST_TOLD = 1000
LONGEST_TOLD = 500
# Overrides for a person's settings (git-config(1)) that would change what is read or archived. The repository's own
# .gitattributes still count; `safe.directory`, and filters such as LFS's, are still read from the person's files.
CONTENT = {"core.autocrlf": "false", "core.eol": "lf", "core.attributesFile": "/dev/null"}
CHOSEN = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "true",
    "color.ui": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
    "tar.umask": "0002",
}
# The person's own settings decide whether a working tree differs from HEAD: they were in force at the checkout.
GIT_AS_PERSON = ("git", *(word for name, value in CHOSEN.items() for word in ("-c", f"{name}={value}")))
GIT = (*GIT_AS_PERSON, *(word for name, value in CONTENT.items() for word in ("-c", f"{name}={value}")))
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
# Attributes that change the content of an archive (gitattributes(5)): text that depends on the commit, and filters.
SUBST = re.compile(r"\sexport-subst(\s|$)", re.MULTILINE)
FILTER = re.compile(r"^[^#\n]*\sfilter=(\S+)", re.MULTILINE)


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
    if not directory.is_dir():
        raise Misuse(
            f"the source {directory} is not a directory",
            "see `source` in the inventory: a relative path is seen from there",
        )
    asked = ("rev-parse", "--show-toplevel", "--show-prefix", "--git-path", "info/attributes")
    try:
        where = _git(directory, *asked, expect=f"the source {directory} is in no git repository")
    except Misuse as misuse:
        # The setting's name, which git's message has in every language.
        if "safe.directory" not in misuse.hint:
            raise
        owned = f"the source {directory} is in a git repository of another user, which git does not read"
        raise Misuse(owned, misuse.hint) from None
    top_text, prefix, own_attributes = where.rsplit("\n", 2)
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
    # A commit other than HEAD was named on purpose: changes in the working tree do not matter.
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
    whole = _working_tree(top, prefix) if dirty else commit
    tree = _git(
        top,
        "rev-parse",
        "--verify",
        _tree(whole, prefix),
        expect=f"{prefix or '.'} does not exist in commit {ref!r}",
    )
    modes = _modes(top, tree)
    if "mix.exs" not in modes:
        raise Misuse(f"{directory} holds no mix.exs at {ref!r}", "see `source` in the inventory")
    if submodules := [prefix + name for name, mode in modes.items() if mode == SUBMODULE]:
        raise Misuse(
            f"{directory} holds a git submodule, whose files are not carried to the build host: {submodules[0]}",
            "vendor it or use a Mix dependency",
        )
    sent = _sent_dirty(directory) if dirty else _sent(top, commit, prefix, tree, modes, directory / own_attributes)
    # A build that reads COMMIT_VARIABLE makes another release of another commit, even of the same tree.
    if _run(top, "grep", "--quiet", "-I", "--fixed-strings", "-e", COMMIT_VARIABLE, tree, "--", *TEXTS).returncode == 0:
        sent = f"{sent} {commit}".strip()
    subject = _git(top, "show", "--no-patch", f"--format=%<({LONGEST_SUBJECT},trunc)%s", commit).rstrip(" ")
    return Source(directory, top, prefix, commit, tree, subject, dirty, sent, whole)


def _modes(top: Path, tree: str) -> dict[str, str]:
    """Return the mode of each file of a tree (git-ls-tree(1)), by path."""
    text = _run(top, "ls-tree", "-r", "-z", "--full-tree", tree).stdout.decode("utf-8", "surrogateescape")
    entries = (entry.partition("\t") for entry in text.split("\0") if entry)
    return {name: about.partition(" ")[0] for about, _, name in entries}


def _sent(top: Path, commit: str, prefix: str, tree: str, modes: dict[str, str], own: Path) -> str:
    """Return a digest of what decides, together with the tree, the bytes of the archive; empty for the tree alone.

    Parameters:
        own: the attributes file of this clone alone; git has no option to ignore it.

    Raises:
        Refused: files need a filter that this machine's git does not know: their pointers would be sent in their place.
    """
    # The attributes in directories above the source apply to it and are not in its tree.
    outside = [f"{commit}:{path}.gitattributes" for path in _parents(prefix)]
    inside = [f"{tree}:{name}" for name in modes if name.rpartition("/")[2] == ".gitattributes"]
    found = [text or "" for text in _texts(top, [*outside, *inside])]
    above, texts = found[: len(outside)], [text for text in found if text]
    with_own = own.read_bytes() if own.is_file() else b""
    if with_own.strip():
        texts.append(with_own.decode("utf-8", "replace"))
    filters = sorted({name for text in texts for name in FILTER.findall(text)})
    known = _run(top, "config", "--get-regexp", r"^filter\..*\.(smudge|process)$").stdout.decode() if filters else ""
    for name in filters:
        if f"filter.{name}." not in known:
            raise Refused(
                f"git on this machine does not know the filter {name!r}, through which .gitattributes has files go",
                "`git lfs install` once, after installing git-lfs" if name == "lfs" else "install and configure it",
            )
    # An archive can name the commit's tags (`$Format:%(describe)$`), which can change although the commit does not.
    archived = _archive_digest(top, commit, prefix) if any(map(SUBST.search, texts)) else ""
    decisive = [with_own.hex(), known, *([archived] if archived else []), *filter(None, above)]
    return hashlib.sha256("\0".join(decisive).encode()).hexdigest() if any(decisive) else ""


def _sent_dirty(directory: Path) -> str:
    """Return what decides, together with the tree, which files of a working tree are sent.

    Raises:
        Refused: files of the tree are missing in the working tree (git-sparse-checkout(1)).
    """
    # `S NAME`: git does not look at this file in the working tree (git-ls-files(1)).
    entries = _named(directory, "ls-files", "-z", "-t", "--cached")
    absent = [entry[2:] for entry in entries if entry.startswith("S ") and not os.path.lexists(directory / entry[2:])]
    if absent:
        raise Refused(
            f"the working tree of {directory} lacks {len(absent)} files, which would not be built: {absent[0]}",
            "`git sparse-checkout add` their directory, or deploy a commit: that has all of them",
        )
    left_out = "\0".join(sorted(_export_ignored(directory))).encode("utf-8", "surrogateescape")
    return f"dirty {hashlib.sha256(left_out).hexdigest()}" if left_out else "dirty"


def _archive_digest(top: Path, commit: str, prefix: str) -> str:
    digest = hashlib.sha256()
    for piece in _archived(top, commit, prefix):
        digest.update(piece)
    return digest.hexdigest()


def _parents(prefix: str) -> list[str]:
    """Return the directories above the source, the nearest first, the top of the repository last (as empty text)."""
    parts = prefix.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) - 1, -1, -1)]


def dirty_files(directory: Path) -> list[str]:
    """Return the files below `directory` that differ from HEAD or are neither tracked nor ignored.

    Each has git's short status before its name. Staged and unstaged changes look alike: both differ from HEAD.
    """
    done = _run(directory, "status", "--porcelain", "--untracked-files=all", "--", ".", git=GIT_AS_PERSON)
    lines = _lines(done.stdout)
    return [f"{line[:2].strip()} {line[3:]}" for line in lines]


def ignored_files(source: Source) -> list[str]:
    """Return the paths of the working tree that are not built: relative to the source, directories ending in a slash.

    These are what git ignores, and what the repository's attributes exclude from archives (`export-ignore`).
    """
    directory = source.directory
    ignored = _named(directory, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    return [*ignored, *_export_ignored(directory)]


def _export_ignored(directory: Path) -> list[str]:
    files = _named(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    directories = {f"{parent}/" for name in files for parent in map(str, PurePosixPath(name).parents) if parent != "."}
    asked = "".join(f"{name}\0" for name in [*files, *sorted(directories)]).encode("utf-8", "surrogateescape")
    # `PATH NUL export-ignore NUL VALUE NUL` (git-check-attr(1)).
    answers = _named(directory, "check-attr", "-z", "--stdin", "export-ignore", stdin=asked)
    return [path for path, value in zip(answers[::3], answers[2::3], strict=True) if value == "set"]


def _named(directory: Path, *arguments: str, stdin: bytes = b"") -> list[str]:
    text = _run(directory, *arguments, stdin=stdin).stdout
    return [name for name in text.decode("utf-8", "surrogateescape").split("\0") if name]


def read_file(source: Source, name: str) -> str | None:
    """Return the text of a small file of the source, or None where it does not exist."""
    return _texts(source.top, [f"{source.tree}:{name}"])[0]


def read_above(source: Source, name: str) -> list[str]:
    """Return the texts of the files of that name: the source's own, then those in directories above, nearest first."""
    places = [source.prefix, *_parents(source.prefix)]
    # Follow links as in a working tree: they often lead to another directory of the repository.
    texts = _texts(source.top, [f"{source.whole}:{path}{name}" for path in places], "--follow-symlinks")
    return [text for text in texts if text is not None]


def migrations_added(source: Source, since: str) -> list[str]:
    """Return the migrations that the source has and commit `since` has not: files below priv/…/migrations/ (Ecto)."""
    return _migrations(source, since, "A")


def migrations_lost(source: Source, since: str) -> list[str]:
    """Return the migrations that commit `since` has and the source has not; databases that ran them keep them."""
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
    return _split_nul(done.stdout) if done.returncode == 0 else []


def commits_since(source: Source, since: str) -> list[str] | None:
    """Return a line for each commit of the source since `since`, newest first; None where `since` is unknown here.

    When `since` is no ancestor (a rollback, a rewritten history), lines of new commits begin with `>`, lines of lost
    commits with `<`.
    """
    if _run(source.top, "cat-file", "-e", f"{since}^{{commit}}").returncode != 0:
        return None
    ancestor = _run(source.top, "merge-base", "--is-ancestor", since, source.commit).returncode == 0
    style = ["--format=%h %s (%an)"] if ancestor else ["--left-right", "--format=%m %h %s (%an)"]
    dots = ".." if ancestor else "..."
    most = f"--max-count={MOST_TOLD + 1}"
    done = _run(source.top, "log", most, *style, f"{since}{dots}{source.commit}", "--", source.prefix or ".")
    return _split_nul(done.stdout)


def archive(source: Source) -> Iterator[bytes]:
    """Yield the files of the commit below `prefix`, as a tar stream.

    Raises:
        Refused: git archive failed.
    """
    yield from _archived(source.top, source.commit, source.prefix)


def _archived(top: Path, commit: str, prefix: str) -> Iterator[bytes]:
    paths = ["--", f":(literal){prefix}"] if prefix else []
    command = [*GIT, "-C", str(top), "archive", "--format=tar", commit, *paths]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=for_git()
    ) as process:
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
    """Return the lines that git wrote. Only a line feed ends one: subjects may hold other separators of Unicode."""
    return said.decode("utf-8", "replace").split("\n")[:-1]


def _split_nul(said: bytes) -> list[str]:
    """Return lines as `_lines` does, but limited in number and length, which the author of a commit decides."""
    lines = [line if len(line) <= LONGEST_TOLD else f"{line[:LONGEST_TOLD]}…" for line in _lines(said)]
    return lines if len(lines) <= MOST_TOLD else [*lines[:MOST_TOLD], "… and more"]


def _texts(top: Path, objects: Sequence[str], *options: str) -> list[str | None]:
    """Return the text of each of these small files (`COMMIT:PATH`), or None where there is no such file.

    Parameters:
        options: options of git-cat-file(1).

    Raises:
        Refused: a file has more than LONGEST_FILE bytes; no file that is read here has a reason for that.
    """
    asked = "".join(f"{name}\n" for name in objects).encode("utf-8", "surrogateescape")
    said = _run(top, "cat-file", "--batch", *options, stdin=asked).stdout
    texts: list[str | None] = []
    for name in objects:
        head, _, said = said.partition(b"\n")
        words = head.split(b" ")
        # `ID TYPE SIZE`, the object and a line end; or `NAME missing` (git-cat-file(1), BATCH OUTPUT). For a link that
        # leads to nothing in the repository: `dangling SIZE` (or a similar word), and as many bytes.
        if words[-1] == b"missing" or not words[-1].isdigit():
            texts.append(None)
            continue
        size = int(words[-1])
        is_file = len(words) == 3 and words[1] == b"blob"
        if is_file and size > LONGEST_FILE:
            tree, _, path = name.partition(":")
            raise Refused(
                f"{path} has {size} bytes in {tree[:8]}; expected at most {LONGEST_FILE}",
                "look at what was committed there",
            )
        texts.append(said[:size].decode("utf-8", "replace") if is_file else None)
        said = said[size + 1 :]
    return texts


def _tree(commit: str, prefix: str) -> str:
    return f"{commit}:{prefix.rstrip('/')}" if prefix else f"{commit}^{{tree}}"


def _working_tree(top: Path, prefix: str) -> str:
    """Return the tree that the repository would have if the working tree below `prefix` were committed.

    A temporary index is used: the user's own is not touched.
    """
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch, "index")
        _git(top, "read-tree", "HEAD", index=index)
        _git(top, "add", "--all", "--", prefix or ".", index=index)
        return _git(top, "write-tree", index=index)


def _git(directory: Path, *arguments: str, expect: str = "", index: Path | None = None) -> str:
    done = _run(directory, *arguments, index=index)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        raise Misuse(expect or f"git {arguments[0]} failed in {directory}: {said}", said if expect else "")
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def _run(
    directory: Path, *arguments: str, git: Sequence[str] = GIT, index: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = (*git, "-C", str(directory), *arguments)
    own = {} if index is None else {"GIT_INDEX_FILE": str(index)}
    try:
        return _bounded(command, stdin, {**for_git(), **own}, f"git {arguments[0]}", directory)
    except FileNotFoundError:
        raise Misuse("git is not installed on this machine", "on Debian: apt-get install git") from None


def _bounded(
    command: Sequence[str], stdin: bytes, environment: dict[str, str], name: str, directory: Path
) -> subprocess.CompletedProcess[bytes]:
    """Run a command, as `subprocess.run` does. Raises: Refused, where its output exceeds MOST_SAID bytes."""
    with (
        tempfile.TemporaryFile() as asked,
        tempfile.TemporaryFile() as complaints,
    ):
        asked.write(stdin)
        asked.seek(0)
        with subprocess.Popen(  # noqa: S603
            command, stdin=asked, stdout=subprocess.PIPE, stderr=complaints, env=environment
        ) as git:
            assert git.stdout is not None  # noqa: S101 (a pipe was asked for)
            said = git.stdout.read(MOST_SAID + 1)
            if len(said) > MOST_SAID:
                git.kill()
                raise Refused(
                    f"{name} said more than {MOST_SAID // 2**20} MB of the repository {directory}",
                    "look at its last commits: a subject, a name or a file is far too long",
                )
        complaints.seek(0)
        return subprocess.CompletedProcess(command, git.returncode, said, complaints.read(LONGEST_FILE))
