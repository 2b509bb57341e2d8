"""The first files of a deployable app: those that are missing, those that are there, and how one is written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import msgspec

from warpbeam.build.git import run_git
from warpbeam.error import Refused
from warpbeam.host.template import filled
from warpbeam.init.inventory import inventory_text
from warpbeam.init.repository import App, text_of
from warpbeam.init.request import InitRequest, Names
from warpbeam.inventory.files import seen

# Files that Fabric reads as well: a new file of the first name would take the place of another one (docs.fabfile.org).
FABFILES = ("fabfile.py", "fabfile")
CONFIGURATIONS = ("fabric.yaml", "fabric.yml", "fabric.json", "fabric.py")
EXECUTOR = "warpbeam.cli.executor.Executor"
COLLECTION = "collection(__file__)"
# Built artifacts: a deploy refuses a working tree with files that git neither has nor ignores. Compiled modules of
# Python are none of these: Invoke has Python write none.
IGNORED = (".warpbeam/",)


class NewFile(msgspec.Struct, frozen=True):
    """A file to write. `added`: the text is put at the end of the file that is there."""

    file: Path
    text: str
    added: bool = False


class FilePlan(msgspec.Struct, frozen=True):
    """The files to write, those that are there and stay as they are, and what is missing in one of these."""

    new: tuple[NewFile, ...]
    kept: tuple[Path, ...]
    missing: tuple[str, ...] = ()


def plan_files(request: InitRequest, app: App, names: Names) -> FilePlan:
    """Return what `init` would write: nothing that is there is written again."""
    project = request.project
    new: list[NewFile] = []
    kept: list[Path] = []
    missing: list[str] = []
    if fabfile := _present(project, FABFILES):
        kept.append(fabfile)
        if COLLECTION not in _content(fabfile):
            missing.append(f"put into {seen(fabfile)}: from warpbeam.tasks import collection; namespace = {COLLECTION}")
    else:
        new.append(NewFile(project / FABFILES[0], filled("init/fabfile.py.j2")))
    if configuration := _present(project, CONFIGURATIONS):
        kept.append(configuration)
        if EXECUTOR not in _content(configuration):
            missing.append(f"put into {seen(configuration)}, under `tasks`: executor_class: {EXECUTOR}")
    else:
        new.append(NewFile(project / CONFIGURATIONS[0], filled("init/fabric.yaml.j2")))
    if os.path.lexists(request.inventory):
        kept.append(request.inventory)
    else:
        new.append(NewFile(request.inventory, inventory_text(request, app, names)))
    ignore = project / ".gitignore"
    lines = missing_lines(project)
    if lines and os.path.lexists(ignore) and (ignore.is_symlink() or not ignore.is_file()):
        # git does not follow a link here (gitignore(5)); it may lead to a file of another repository.
        kept.append(ignore)
        missing.append(f"make {seen(ignore)} a file, not a link, for git to read it, with {' and '.join(lines)}")
    elif lines:
        new.append(NewFile(ignore, _continued(ignore, lines), added=ignore.exists()))
    return FilePlan(tuple(new), tuple(kept), tuple(missing))


def missing_lines(project: Path) -> list[str]:
    """Return the lines that .gitignore needs: of what a deploy leaves in `project`, git does not ignore these."""
    asked = [*IGNORED]
    environment = Path(sys.prefix)
    if environment != Path(sys.base_prefix) and environment.is_relative_to(project):
        # A virtual environment in the repository, as docs/package.md has it.
        asked.append(f"/{environment.relative_to(project)}/")
    # The person's own list of ignored files is not the team's.
    own = ("-c", "core.excludesFile=/dev/null")
    return [
        line
        for line in asked
        if run_git(project, "check-ignore", "--quiet", "--no-index", line.lstrip("/"), git=("git", *own)).returncode
        == 1
    ]


def check_writable(files: Iterable[NewFile]) -> None:
    """Check that each file can be written, before the first one is. Raises: Refused."""
    for new in files:
        place = new.file if new.added else new.file.parent
        while not os.path.lexists(place):
            place = place.parent
        wanted = os.W_OK if new.added else os.W_OK | os.X_OK
        if not (new.added or place.is_dir()):
            raise Refused(
                f"{seen(place)}: expected a directory, found something else", "rename it; nothing was written"
            )
        if not os.access(place, wanted, effective_ids=os.access in os.supports_effective_ids):
            what = "this file" if new.added else "a file in this directory"
            raise Refused(f"{seen(place)}: may not write {what}", "look at its owner and mode; nothing was written")


def write_file(new: NewFile) -> None:
    """Write a file that does not exist, or add to one. Raises: Refused, where that fails; never overwrites anything."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    flags |= os.O_APPEND if new.added else os.O_CREAT | os.O_EXCL
    try:
        new.file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(new.file, flags, 0o666), "wb", buffering=0) as opened:
            _write_whole(opened, new)
    except OSError as error:
        raise Refused(
            f"{seen(new.file)}: cannot write it: {error.strerror}",
            "files that were written before it stay; the same command again writes what is missing",
        ) from None


def _write_whole(opened: FileIO, new: NewFile) -> None:
    """Write the text of a file that was just made or opened; where that fails, the file is as it was before."""
    before, rest = os.fstat(opened.fileno()).st_size, new.text.encode()
    try:
        while rest:
            rest = rest[opened.write(rest) :]
    except OSError:
        # Half a file would count as one that is there.
        if new.added:
            opened.truncate(before)
        else:
            new.file.unlink()
        raise


def _present(project: Path, names: Iterable[str]) -> Path | None:
    """Return the first of these files that is there, a link that leads nowhere included."""
    return next((project / name for name in names if os.path.lexists(project / name)), None)


def _content(file: Path) -> str:
    """Return the text of a file, or of a package's first module; an empty text where it is no file."""
    return text_of(file / "__init__.py" if file.is_dir() else file) or ""


def _continued(file: Path, lines: Iterable[str]) -> str:
    """Return the text that puts `lines` at the end of `file`, which may not end in a line end."""
    text = _content(file)
    return ("\n" if text and not text.endswith("\n") else "") + "".join(f"{line}\n" for line in lines)
