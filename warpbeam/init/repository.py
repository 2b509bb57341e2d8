"""An app's repository: what its files say, read as text. Nothing of it is run, and mix need not be installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from warpbeam.build.git import LONGEST_FILE, git, run_git
from warpbeam.error import Misuse
from warpbeam.init.code import drains, find_health_path, find_migrate, reads
from warpbeam.init.mix_file import MixFile, read_mix_file
from warpbeam.init.variables import Variable, read_variables
from warpbeam.inventory.files import seen

# Modules that are looked through for the health path, the drain and the migrations: a large app has some hundreds.
MOST_MODULES = 5000
# The owner in the URL of a remote: git@HOST:OWNER/APP.git, https://HOST/OWNER/APP, ssh://git@HOST:22/OWNER/APP.git
_OWNER = re.compile(r"(?:\A[^/:]+:|://[^/]+/)(?P<owner>[^/]+)/[^/]+?/?\Z")
_CONFIGURATIONS = ("config/runtime.exs", "config/releases.exs")


class App(msgspec.Struct, frozen=True):
    """A mix project in a git repository, as its files describe it; `members` are the apps of an umbrella.

    `top` is the repository's directory, `owner` the owner that the URL of its remote names. `tools` are the lines of
    .tool-versions, `node` is the directory of a package.json. `health`, `migrate` and `owner` are empty where nothing
    was found.
    """

    directory: Path
    top: Path
    mix: MixFile
    members: tuple[MixFile, ...] = ()
    owner: str = ""
    tools: tuple[str, ...] = ()
    locked: bool = False
    node: str = ""
    variables: tuple[Variable, ...] = ()
    configuration: str = ""
    reads_port: bool = False
    health: str = ""
    migrate: str = ""
    migrations: bool = False
    drains: bool = False

    @property
    def name(self) -> str:
        """The name of the app, or of an umbrella."""
        return self.mix.app or self.release

    @property
    def release(self) -> str:
        """The release that is deployed: the default one, that of the app's name, or the first; else the app's name."""
        releases = self.mix.releases
        if self.mix.default_release:
            return self.mix.default_release
        if releases and self.mix.app not in releases:
            return releases[0]
        return self.mix.app or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.mix.module.partition(".")[0]).lower()

    @property
    def deps(self) -> frozenset[str]:
        """The dependencies of the project and of an umbrella's apps."""
        return self.mix.deps.union(*(member.deps for member in self.members))

    @property
    def private(self) -> tuple[str, ...]:
        """The dependencies that git gets over ssh."""
        names = (name for each in (self.mix, *self.members) for name in each.private)
        return tuple(dict.fromkeys(names))

    def has(self, *names: str) -> bool:
        """Return whether one of these packages is a dependency."""
        return not self.deps.isdisjoint(names)


def read_app(directory: Path) -> App:
    """Return the app in `directory`. Raises: Misuse, where there is no mix project, or it is in no git repository."""
    text = text_of(directory / "mix.exs")
    if text is None:
        above = next((each for each in directory.parents if (each / "mix.exs").is_file()), None)
        raise Misuse(
            f"{directory} holds no mix.exs",
            f"go to {above}" if above else "go to the directory of your app, or name it: --source=DIRECTORY",
        )
    mix = read_mix_file(text)
    _check_whole(directory)
    top = _find_top(directory)
    members = _members(directory, mix)
    modules = [text for file in _modules(directory, members) if (text := text_of(file)) is not None]
    configurations = {name: text for name in _CONFIGURATIONS if (text := text_of(directory / name)) is not None}
    configuration = next(iter(configurations), "")
    folders = [directory, *members]
    return App(
        directory=directory,
        top=top,
        mix=mix,
        members=tuple(read_mix_file(text_of(each / "mix.exs") or "") for each in members),
        owner=_owner(directory),
        tools=_tools(directory, top),
        locked=(directory / "mix.lock").is_file(),
        node=next((seen_below(directory, file.parent) for file in _packages(folders) if file.is_file()), ""),
        variables=read_variables(configurations.get(configuration, "")),
        configuration=configuration,
        reads_port=reads((*configurations.values(), *modules), "PORT"),
        health=find_health_path(modules),
        migrate=find_migrate(modules),
        migrations=any(True for each in folders for _ in each.glob("priv/*/migrations/*.exs")),
        drains=drains((*configurations.values(), *modules)),
    )


def _find_top(directory: Path) -> Path:
    """Return the directory of the repository around `directory`. Raises: Misuse, where there is none that git reads."""
    expected = f"{directory} is in no git repository"
    try:
        return Path(git(directory, "rev-parse", "--show-toplevel", expect=expected))
    except Misuse as misuse:
        if "safe.directory" in misuse.hint:
            owned = f"{directory} is in a git repository of another user, which git does not read"
            raise Misuse(owned, misuse.hint) from None
        if misuse.reason != expected:
            raise
        made = "Warpbeam builds what git has: git init && git add --all && git commit"
        raise Misuse(expected, made) from None


def seen_below(directory: Path, file: Path) -> str:
    """Return the path of `file` as seen from `directory`."""
    return str(file.relative_to(directory))


def _check_whole(directory: Path) -> None:
    """Refuse an app of an umbrella: the umbrella has its lock file and its releases. Raises: Misuse."""
    umbrella = directory.parent.parent
    text = text_of(umbrella / "mix.exs")
    apps = read_mix_file(text).apps_path if text is not None else ""
    if apps and umbrella / apps == directory.parent:
        raise Misuse(f"{directory} is an app of the umbrella {umbrella}", f"go to {umbrella}: its releases are there")


def _members(directory: Path, mix: MixFile) -> list[Path]:
    """Return the directories of an umbrella's apps."""
    apps = (directory / mix.apps_path).resolve() if mix.apps_path else None
    if apps is None or not apps.is_relative_to(directory.resolve()):
        return []
    return sorted(file.parent for file in (directory / mix.apps_path).glob("*/mix.exs"))


def _modules(directory: Path, members: list[Path]) -> Iterator[Path]:
    """Yield the app's modules, those of an umbrella's apps too."""
    found = (file for each in (directory, *members) for file in sorted((each / "lib").rglob("*.ex")))
    yield from (file for file, _ in zip(found, range(MOST_MODULES), strict=False))


def _packages(folders: list[Path]) -> Iterator[Path]:
    yield from (each / "assets" / "package.json" for each in folders)


def _owner(directory: Path) -> str:
    """Return the owner that the URL of the remote `origin` names, or an empty string."""
    url = run_git(directory, "config", "--get", "remote.origin.url").stdout.decode("utf-8", "replace").strip()
    found = _OWNER.search(url)
    return found["owner"].lower() if found and not url.startswith(("/", ".", "file:")) else ""


def _tools(directory: Path, top: Path) -> tuple[str, ...]:
    """Return the lines of the nearest .tool-versions, in the directory or above it in the repository."""
    for place in (directory, *directory.parents):
        text = text_of(place / ".tool-versions")
        if text is not None:
            lines = (line.partition("#")[0].split() for line in text.splitlines())
            return tuple(" ".join(words) for words in lines if words)
        if place == top:
            break
    return ()


def text_of(file: Path) -> str | None:
    """Return the beginning of a file of source, or None where there is none. Raises: Misuse, where it is unreadable."""
    if not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            # Editors of Windows put a byte order mark at the beginning.
            return opened.read(4 * LONGEST_FILE).decode("utf-8-sig", "replace")
    except OSError as error:
        raise Misuse(f"{seen(file)}: cannot read it: {error.strerror}", "look at the file's owner and mode") from None
