"""The releases of the bench: two of one app that differ in one module, and the same two without a VM to start.

The real app is examples/hello, built by this project, with files of random content that bring it to 30 MB compressed.
They stand for the dependencies, assets and NIFs that a real release has and the sample app has not.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec

from warpbeam.build.artifact import Artifact, Item
from warpbeam.build.flavor import with_flavor
from warpbeam.build.recipe import key_of
from warpbeam.build.source import find_source
from warpbeam.inventory.schema import Host, Inventory
from warpbeam.store.directory import DirectoryStore

App = Literal["instant", "hello"]
Letter = Literal["a", "b"]
APPS: tuple[App, ...] = get_args(App)
LETTERS: tuple[Letter, ...] = get_args(Letter)
PROJECT = Path(__file__).resolve().parent.parent
START = PROJECT / "bench" / "configuration" / "app" / "hello.pl"
# Number and size of the random files: a release of 30 MB, less the 5.4 MB of the sample app.
BALLAST = (410, 60_000)
FIRST_COMMIT = 1_750_000_000
MODULE = "ebin/Elixir.Hello.beam"


class Release(msgspec.Struct, frozen=True):
    """One release, in the forms that the peers take.

    `ref` is its branch, which this project deploys; `tree` is the unpacked release; `manifest` is a file of sorted
    lines `MODE SHA256  PATH`; `module` is the SHA-256 of the module that differs.
    """

    app: App
    letter: Letter
    ref: str
    tarball: Path
    tree: Path
    manifest: Path
    module: str


def make_source(directory: Path) -> None:
    """Make the app's repository, with a branch for each release."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(PROJECT / "examples" / "hello", directory, ignore=shutil.ignore_patterns("_build", "deps"))
    ballast = directory / "priv" / "ballast"
    ballast.mkdir()
    chance = random.Random(1)  # the same content each time
    count, size = BALLAST
    for number in range(count):
        (ballast / f"{number:03}.bin").write_bytes(chance.randbytes(size))
    text = (directory / "lib" / "hello.ex").read_text()
    assert 'app: "hello"' in text
    git(directory, "init", "-q", "-b", "main")
    at = FIRST_COMMIT
    for app in APPS:
        if app == "instant":
            (directory / "INSTANT").write_text("The releases of these commits have another start script.\n")
        for letter in LETTERS:
            (directory / "lib" / "hello.ex").write_text(text.replace('app: "hello"', f'app: "hello {letter}"'))
            git(directory, "add", "--all")
            # Different times: Mix compiles files that are newer, and these have the same size.
            at += 60
            git(directory, "commit", "-q", "-m", f"{app} {letter}", at=at)
            git(directory, "branch", ref(app, letter))
        (directory / "INSTANT").unlink(missing_ok=True)


def ref(app: App, letter: Letter) -> str:
    """Return the branch of a release."""
    return f"{app}-{letter}"


def make_releases(
    source: Path, store: DirectoryStore, scratch: Path, build: Callable[[str], None]
) -> dict[tuple[App, Letter], Release]:
    """Make every release, and keep it in `store`, so that this project deploys the same bytes as the others.

    Parameters:
        build: builds a branch with this project.
    """
    made: dict[tuple[App, Letter], Release] = {}
    for letter in LETTERS:
        build(ref("hello", letter))
        artifact = find_artifact(store, git(source, "rev-parse", f"{ref('hello', letter)}^{{tree}}"))
        assert artifact is not None
        made["hello", letter] = unpacked(artifact, "hello", letter, scratch)
        instant = make_instant(artifact, store, source, letter, scratch)
        made["instant", letter] = unpacked(instant, "instant", letter, scratch)
    for app in APPS:
        one, other = (set(made[app, letter].manifest.read_text().splitlines()) for letter in LETTERS)
        changed = {line.partition("  ")[2] for line in one ^ other}
        assert len(changed) == 1 and changed.pop().endswith(MODULE), f"{app}: they differ in {changed}"
    return made


def find_artifact(store: DirectoryStore, tree: str) -> Artifact | None:
    """Return the artifact of the store that was built from that tree, or None."""
    for file in store.directory.glob("*.json"):
        artifact = store.find(file.stem)
        if artifact is not None and artifact.manifest.tree == tree:
            return artifact
    return None


def make_instant(artifact: Artifact, store: DirectoryStore, source: Path, letter: Letter, scratch: Path) -> Artifact:
    """Return the artifact with the start script that needs no VM, kept in `store` as the build of its branch."""
    branch = ref("instant", letter)
    draft = scratch / f"{branch}.tar.gz"
    start = START.read_bytes()
    with tarfile.open(artifact.tarball) as old, tarfile.open(draft, "w:gz", compresslevel=6) as new:
        for member in old:
            if member.name.removeprefix("./") == "bin/hello":
                member.size = len(start)
                with START.open("rb") as file:
                    new.addfile(member, file)
            else:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    script = hashlib.sha256(start).hexdigest()
    files = tuple(
        Item(item.path, item.mode, len(start), script) if item.path == "bin/hello" else item
        for item in artifact.manifest.files
    )
    tree = git(source, "rev-parse", f"{branch}^{{tree}}")
    manifest = msgspec.structs.replace(
        artifact.manifest,
        commit=git(source, "rev-parse", branch),
        subject=branch,
        tree=tree,
        sha256=digest,
        size=draft.stat().st_size,
        files=files,
    )
    # The bench's environments have no build settings except the app's name.
    inventory = Inventory(org="acme", app="hello", hosts={"build1": Host(name="build1", roles=("build",))})
    found = find_source(source, branch)
    key = key_of(found, with_flavor(inventory, found), manifest.toolchain)
    with store.incoming(key) as file:
        file.write(draft.read_bytes())
        file.flush()
        return store.keep(key, manifest, digest)


def unpacked(artifact: Artifact, app: App, letter: Letter, scratch: Path) -> Release:
    """Return a release with the forms of the artifact that the other peers take."""
    tree = scratch / ref(app, letter)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    with tarfile.open(artifact.tarball) as tar:
        tar.extractall(tree, filter="tar")
    manifest = scratch / f"{ref(app, letter)}.manifest"
    items = artifact.files
    manifest.write_text("".join(sorted(f"{item.mode} {item.sha256}  {item.path}\n" for item in items)))
    module = next(item.sha256 for item in items if item.path.endswith(MODULE))
    return Release(app, letter, ref(app, letter), artifact.tarball, tree, manifest, module)


def told_by(release: Release, body: bytes) -> bool:
    """Return whether the release's app answers this body at `/`."""
    if release.app == "instant":
        return hashlib.sha256(body).hexdigest() == release.module
    return f'"app":"hello {release.letter}"'.encode() in body


def git(directory: Path, *words: str, at: int = FIRST_COMMIT) -> str:
    """Run git in the app's repository, with `at` as the time of a commit; return its output."""
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false")
    argv = ("git", "-C", str(directory), *identity, *words)
    dates = {f"GIT_{who}_DATE": f"{at} +0000" for who in ("AUTHOR", "COMMITTER")}
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **dates})
    return done.stdout.strip()
