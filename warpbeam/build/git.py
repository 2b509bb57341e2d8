"""git on this machine: with our settings in place of a person's, and with a bound for its output."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from warpbeam.environ import for_git
from warpbeam.error import Misuse, Refused

# The most bytes of a file of the source that is read here, such as .tool-versions, and of a mix.lock.
LONGEST_FILE = 64 * 1024
LONGEST_LOCK = 4 * 1024 * 1024
# The most bytes of git's output that are read: the commits of a repository may be made to do harm.
MOST_SAID = 64 * 1024 * 1024
# Overrides for a person's settings (git-config(1)) that would change what is read or archived. The repository's own
# .gitattributes still count; `safe.directory`, and filters such as LFS's, are still read from the person's files.
CONTENT = {"core.autocrlf": "false", "core.eol": "lf", "core.attributesFile": "/dev/null"}
CHOSEN = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    # A directory of the commit that looks like a bare repository is none: its configuration would count.
    "safe.bareRepository": "explicit",
    "core.quotePath": "true",
    "color.ui": "false",
    "i18n.logOutputEncoding": "UTF-8",
    "log.showSignature": "false",
    "tar.umask": "0002",
    # A filter that fails must not leave the file as it is in git. LFS must not leave files out (git-lfs-config(5)).
    "filter.lfs.required": "true",
    "lfs.fetchinclude": "",
    "lfs.fetchexclude": "",
    "lfs.skipdownloaderrors": "false",
}
# The person's own settings decide whether a working tree differs from HEAD: they were in force at the checkout.
GIT_AS_PERSON = ("git", *(word for name, value in CHOSEN.items() for word in ("-c", f"{name}={value}")))
GIT = (*GIT_AS_PERSON, *(word for name, value in CONTENT.items() for word in ("-c", f"{name}={value}")))


def git(directory: Path, *arguments: str, expect: str = "", index: Path | None = None) -> str:
    """Return git's output. Raises: Misuse, where git fails: `expect`, or else git's own words."""
    done = run_git(directory, *arguments, index=index)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        raise Misuse(expect or f"git {arguments[0]} failed in {directory}: {said}", said if expect else "")
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def run_git(
    directory: Path, *arguments: str, git: Sequence[str] = GIT, index: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run git, whatever its exit status. Raises: Misuse, where it is not installed; Refused, as `_bounded`."""
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


def lines_of(said: bytes) -> list[str]:
    """Return the lines that git wrote. Only a line feed ends one: subjects may hold other separators of Unicode."""
    return said.decode("utf-8", "replace").split("\n")[:-1]


def names_of(directory: Path, *arguments: str, stdin: bytes = b"") -> list[str]:
    """Return the names that git wrote, each ended by NUL."""
    text = run_git(directory, *arguments, stdin=stdin).stdout
    return [name for name in text.decode("utf-8", "surrogateescape").split("\0") if name]


def modes_of(top: Path, tree: str, *paths: str) -> dict[str, str]:
    """Return the mode of each file of a tree (git-ls-tree(1)), by its path in the tree.

    Parameters:
        paths: only the files at or below these; without any, all files.
    """
    text = run_git(top, "ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths).stdout
    entries = (entry.partition("\t") for entry in text.decode("utf-8", "surrogateescape").split("\0") if entry)
    return {name: about.partition(" ")[0] for about, _, name in entries}


def texts_of(top: Path, objects: Sequence[str], *options: str, longest: int = LONGEST_FILE) -> list[str | None]:
    """Return the text of each of these small files (`COMMIT:PATH`), or None where there is no such file.

    Parameters:
        options: options of git-cat-file(1).
        longest: the most bytes that such a file may have.

    Raises:
        Refused: a file has more bytes; no file that is read here has a reason for that.
    """
    asked = "".join(f"{name}\n" for name in objects).encode("utf-8", "surrogateescape")
    said = run_git(top, "cat-file", "--batch", *options, stdin=asked).stdout
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
        if is_file and size > longest:
            tree, _, path = name.partition(":")
            raise Refused(
                f"{path} has {size} bytes in {tree[:8]}; expected at most {longest}",
                "look at what was committed there",
            )
        texts.append(said[:size].decode("utf-8", "replace") if is_file else None)
        said = said[size + 1 :]
    return texts
